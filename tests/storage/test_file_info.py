"""What pruning deletes: whole files, the oldest first, never one that holds any of the last 288 blocks."""

from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.storage.file_info import PRUNE_BUFFER, FileInfo, files_to_prune, files_up_to

MB = 1 << 20


def files(count: int, blocks: int = 100) -> list[FileInfo]:
    """Files of 128 MB with undo data of 16 MB, each with the next ``blocks`` heights."""
    return [
        FileInfo(blocks, 128 * MB, 16 * MB, number * blocks, (number + 1) * blocks - 1, 0, 0) for number in range(count)
    ]


def test_nothing_is_deleted_within_the_target() -> None:
    assert files_to_prune(files(10), target_bytes=10 * 144 * MB + PRUNE_BUFFER + 1, tip_height=999) == []


def test_the_oldest_go_until_the_target_is_met() -> None:
    assert files_to_prune(files(10), target_bytes=9 * 144 * MB, tip_height=999) == [0, 1]
    assert files_to_prune(files(10), target_bytes=6 * 144 * MB + PRUNE_BUFFER + 1, tip_height=999) == [0, 1, 2, 3]


def test_the_last_288_blocks_stay_whatever_the_target() -> None:
    assert files_to_prune(files(10), target_bytes=1, tip_height=999) == [0, 1, 2, 3, 4, 5, 6]
    assert files_to_prune(files(10), target_bytes=1, tip_height=986) == [0, 1, 2, 3, 4, 5]
    assert files_to_prune(files(10), target_bytes=1, tip_height=987) == [0, 1, 2, 3, 4, 5, 6]


def test_the_file_being_written_stays() -> None:
    assert files_to_prune(files(2, 1), target_bytes=1, tip_height=10_000) == [0]
    assert files_to_prune([], target_bytes=1, tip_height=10_000) == []


def test_nothing_is_deleted_below_the_networks_height() -> None:
    assert files_to_prune(files(10), target_bytes=1, tip_height=999, prune_after_height=999) == []
    assert files_to_prune(files(10), target_bytes=1, tip_height=999, prune_after_height=998) != []


def test_pruned_and_empty_files_are_passed_over() -> None:
    infos = files(10)
    infos[0] = FileInfo(pruned=True)
    infos[2] = FileInfo()
    assert files_to_prune(infos, target_bytes=6 * 144 * MB + PRUNE_BUFFER + 1, tip_height=999) == [1, 3]


def test_a_late_block_of_an_old_branch_does_not_hold_its_file() -> None:
    """It is the highest block that counts."""
    infos = files(10)
    infos[9] = infos[9].with_block(130 * MB, 5, 0)
    assert infos[9].first_height == 5
    assert files_to_prune(infos, target_bytes=1, tip_height=2000) == list(range(9))


def test_more_is_freed_while_much_is_to_come() -> None:
    infos, target = files(20), 20 * 144 * MB
    few = files_to_prune(infos, target_bytes=target, tip_height=5000, blocks_to_come=10)
    many = files_to_prune(infos, target_bytes=target, tip_height=5000, blocks_to_come=100_000)
    assert (few, many) == ([0], [0, 1, 2])


def test_files_up_to_a_height() -> None:
    infos = files(10)
    assert files_up_to(infos, 250, tip_height=999) == [0, 1]
    assert files_up_to(infos, 299, tip_height=999) == [0, 1, 2]
    assert files_up_to(infos, 999, tip_height=999) == [0, 1, 2, 3, 4, 5, 6]
    assert files_up_to(infos, 999, tip_height=999, prune_after_height=1000) == []


@given(
    st.lists(st.integers(0, 2000), min_size=2, max_size=30),
    st.integers(0, 3000),
    st.integers(1, 40 * 144 * MB),
    st.integers(0, 1000),
)
def test_no_file_of_the_last_288_is_ever_chosen(
    heights: list[int], tip_height: int, target_bytes: int, blocks_to_come: int
) -> None:
    infos = [FileInfo(1, 128 * MB, 16 * MB, 0, height, 0, 0) for height in heights]
    chosen = files_to_prune(infos, target_bytes=target_bytes, tip_height=tip_height, blocks_to_come=blocks_to_come)
    assert all(infos[number].last_height <= tip_height - MIN_BLOCKS_TO_KEEP for number in chosen)
    assert len(infos) - 1 not in chosen
    assert chosen == sorted(set(chosen))
