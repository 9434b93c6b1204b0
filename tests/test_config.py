"""Configuration: what a file and the command line make of each other, and what is said about mistakes."""

import re
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.networks import get_params
from ccnode.chain.params import SoftForks
from ccnode.config import load_config, render_config, render_help
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.networks import network_params
from ccnode.options import CHAINS, IGNORED, NOT_BUILT, OPTIONS, Config
from ccnode.settings import check, upload_target, validates_blocks

ROOT = Path(__file__).resolve().parents[1]
HASH = "00000000000000000000000000000000000000000000000000000000000000ab"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.yaml"


def test_without_anything_it_is_mainnet_with_cores_defaults() -> None:
    config = load_config()
    assert config == Config()
    assert config.chain == "mainnet"
    assert config.datadir == config.folder == Path.home() / ".ccnode"
    assert (config.maxconnections, config.peertimeout, config.timeout) == (125, 60, 5000)
    assert (config.maxreceivebuffer, config.maxsendbuffer, config.maxtipage) == (5000, 1000, 86400)
    assert config.listen
    assert config.dns
    assert config.dnsseed
    assert not config.forcednsseed
    assert config.automatic


def test_every_option_is_an_attribute() -> None:
    config = Config()
    for name, option in OPTIONS.items():
        assert getattr(config, name.replace("-", "_")) == option.default
        assert isinstance(option.default, tuple) == option.repeat
    assert not {*IGNORED, *NOT_BUILT} & set(OPTIONS)


FILE = """\
# a comment
chain: test
datadir: /var/lib/node
port: 18444
listen: no
dns: False
minimumchainwork: 0x0a
checkpoints:
  210000: 00000000000000000000000000000000000000000000000000000000000000ab
  0x10: '00000000000000000000000000000000000000000000000000000000000000ab'
services: 0x409
mocktime: 1700000000
connect:
  - 10.0.0.1
  - "[::1]:8333"
addnode: node.example:8333
uacomment: [no, on 12.5]
debug: [net, validation]
reindex-headers: yes
"""


def test_values_of_a_file(file: Path) -> None:
    file.write_text(FILE)
    config = load_config(conf=file)
    values = {name: getattr(config, name) for name in Config.__slots__}
    assert values == {
        **{name: getattr(Config(), name) for name in Config.__slots__},
        "chain": "testnet3",
        "datadir": Path("/var/lib/node"),
        "conf": file,
        "port": 18444,
        "listen": False,
        "discover": False,
        "dns": False,
        "dnsseed": False,
        "minimumchainwork": 10,
        "checkpoints": ((210000, bytes.fromhex(HASH)[::-1]), (16, bytes.fromhex(HASH)[::-1])),
        "services": 0x409,
        "mocktime": 1700000000,
        "connect": ("10.0.0.1", "[::1]:8333"),
        "addnode": ("node.example:8333",),
        "uacomment": ("no", "on 12.5"),
        "debug": ("net", "validation"),
        "reindex_headers": True,
        "origins": config.origins,
    }
    assert config.folder == Path("/var/lib/node/testnet3")
    assert config.origins["port"] == f"{file}:4"
    assert config.origins["dnsseed"] == "implied by connect"
    assert not config.automatic


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n"])
def test_file_without_content(file: Path, text: str) -> None:
    file.write_text(text)
    assert load_config(conf=file) == Config(conf=file)


@pytest.mark.parametrize(
    ("arguments", "attribute", "value"),
    [
        (["--port=1"], "port", 1),
        (["-port=1"], "port", 1),
        (["--port=1", "--port=2"], "port", 2),
        (["--port=0x10"], "port", 16),
        (["--listen=0"], "listen", False),
        (["--nolisten"], "listen", False),
        (["-nolisten=1"], "listen", False),
        (["-nolisten=0"], "listen", True),
        (["--forcednsseed"], "forcednsseed", True),
        (["--forcednsseed", "--noforcednsseed"], "forcednsseed", False),
        (["--addnode=a", "--addnode=b"], "addnode", ("a", "b")),
        (["--addnode=a", "--noaddnode", "--addnode=b"], "addnode", ("b",)),
        (["--connect=0"], "connect", ()),
        (["--noconnect"], "connect", ()),
        (["-debug"], "debug", ("1",)),
        (["-debug=net", "-debug=libevent"], "debug", ("net", "libevent")),
        (["-loglevel=trace", "-loglevel=net:debug"], "loglevel", ("trace", "net:debug")),
        (["--regtest"], "chain", "regtest"),
        (["-testnet"], "chain", "testnet3"),
        (["-testnet4=1"], "chain", "testnet4"),
        (["-signet=0"], "chain", "mainnet"),
        (["-chain=main"], "chain", "mainnet"),
        (["-chain=test"], "chain", "testnet3"),
        (["-chain=signet", "-signetchallenge=51"], "signetchallenge", b"\x51"),
        (["--mocktime=0"], "mocktime", None),
        (["--minimumchainwork=ff"], "minimumchainwork", 255),
        ([f"--checkpoints=7:{HASH}"], "checkpoints", ((7, bytes.fromhex(HASH)[::-1]),)),
        (["--datadir=~/x"], "datadir", Path.home() / "x"),
        (["--onlynet=ipv6", "--onlynet=onion"], "onlynet", ("ipv6", "onion")),
        (["--reindex-headers"], "reindex_headers", True),
    ],
)
def test_command_line(arguments: list[str], attribute: str, value: object) -> None:
    config = load_config(arguments)
    assert getattr(config, attribute) == value
    assert config.origins[attribute.replace("_", "-")] == "command line"


def test_command_line_goes_over_the_file(file: Path) -> None:
    file.write_text("port: 1\naddnode: a\nseednode: s\nchain: main\nlisten: yes\n")
    for arguments in (["-c", str(file)], [f"--conf={file}"]):
        config = load_config([*arguments, "--port=2", "--addnode=b", "--noseednode", "-regtest"])
        assert (config.port, config.addnode, config.seednode, config.chain) == (2, ("a", "b"), (), "regtest")
        assert config.origins["listen"] == f"{file}:5"
        assert config.conf == file


@pytest.mark.parametrize(
    ("arguments", "listen", "dnsseed"),
    [
        (["--connect=a"], False, False),
        (["--noconnect"], False, False),
        (["--connect=0"], False, False),
        (["--maxconnections=0"], False, False),
        (["--connect=a", "--listen"], True, False),
        (["--connect=a", "--dnsseed=1"], False, True),
        (["--connect=a", "--bind=127.0.0.1"], True, False),
        (["--onlynet=onion"], True, False),
        (["--onlynet=onion", "--onlynet=ipv4"], True, True),
    ],
)
def test_what_options_imply(arguments: list[str], listen: bool, dnsseed: bool) -> None:
    config = load_config(arguments)
    assert (config.listen, config.dnsseed) == (listen, dnsseed)
    assert config.automatic == all(a not in arguments for a in ("--connect=a", "--connect=0", "--noconnect"))


@pytest.mark.parametrize(
    ("arguments", "discover"),
    [
        ([], True),
        (["--nolisten"], False),
        (["--connect=a"], False),
        (["--externalip=192.0.2.9"], False),
        (["--noexternalip"], True),
        (["--proxy=127.0.0.1:9050"], False),
        (["--externalip=192.0.2.9", "--discover"], True),
        (["--nodiscover"], False),
    ],
)
def test_what_turns_the_search_for_our_own_addresses_off(arguments: list[str], discover: bool) -> None:
    assert load_config(arguments).discover is discover


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("0", 0), ("1", 2**20), ("500m", 500_000_000), ("500M", 500 * 2**20), ("3k", 3000), ("3K", 3072)),
        *(("2g", 2 * 10**9), ("2G", 2 * 2**30), ("1t", 10**12), ("1T", 2**40)),
    ],
)
def test_units_of_the_upload_target(text: str, size: int) -> None:
    config = load_config([f"--maxuploadtarget={text}"])
    assert upload_target(config) == size
    assert load_config([f"--maxuploadtarget={config.maxuploadtarget}"]) == config


@pytest.mark.parametrize("text", ["", "m", "-1", "1.5G", "5x", "5 M", "0x10", "9999999999T"])
def test_what_is_no_upload_target(text: str) -> None:
    with pytest.raises(ConfigError, match=f"^Unable to parse -maxuploadtarget: '{text}'$"):
        load_config([f"--maxuploadtarget={text}"])


@pytest.mark.parametrize("name", ["pinginterval", "addrsaveinterval", "bansweepinterval", "statusinterval"])
def test_intervals_have_bounds(name: str) -> None:
    assert getattr(load_config([f"--{name}=1"]), name) == 1
    for seconds in (0, -1, 86_401):
        with pytest.raises(ConfigError, match=f"'{name}' wants a whole number from 1 to"):
            load_config([f"--{name}={seconds}"])


def test_test_options_are_for_regtest() -> None:
    assert load_config(["-regtest", "-test=addrman"]).test == ("addrman",)
    for arguments, timewarps in ((["-regtest"], []), (["-regtest", "-test=bip94"], [144, 288])):
        rule = network_params(load_config(arguments)).difficulty
        assert list(rule.timewarp_heights(1, 300)) == timewarps
    with pytest.raises(ConfigError, match=r"^-test=<option> can only be used with regtest$"):
        load_config(["-signet", "-test=addrman"])
    with pytest.raises(ConfigError, match=r'^Unrecognised option "bip95" provided in -test=<option>\.$'):
        load_config(["-regtest", "-test=bip95"])


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_is_refused_and_to_be_without_it_is_not(name: str) -> None:
    for argument in (f"-{name}", f"-{name}=1"):
        with pytest.raises(ConfigError, match=f"^'{name}' cannot be honoured: this node does not have .* yet$"):
            load_config([argument])
    for argument in (f"-no{name}", f"-{name}=0"):
        assert load_config([argument]).ignored == (f"{name} (command line)",)


def test_no_option_that_clients_of_core_pass_is_unknown() -> None:
    meaningful = """acceptnonstdtxn minrelaytxfee persistmempool peerblockfilters peerbloomfilters blockfilterindex
        whitelist whitebind whitelistrelay whitelistforcerelay txreconciliation capturemessages uacomment mocktime
        privatebroadcast cjdnsreachable i2psam i2pacceptincoming torcontrol listenonion networkactive test
        testactivationheight forcednsseed fixedseeds seednode onlynet proxy proxyrandomize onion asmap externalip
        discover bantime maxconnections maxuploadtarget blocksonly peertimeout timeout v2transport par dbcache prune
        reindex minimumchainwork assumevalid maxtipage limitdescendantcount datacarriersize"""
    idle = """checkblockindex checkaddrman checkmempool debugexclude logtimemicros logthreadnames logsourcelocations
        logratelimit shrinkdebugfile printtoconsole rpcthreads rpcservertimeout rpcdoccheck fallbackfee keypool
        unsafesqlitesync disablewallet"""
    known = {*OPTIONS, *IGNORED, *NOT_BUILT}
    assert not [name for name in f"{meaningful} {idle}".split() if name not in known]


def test_heights_of_soft_forks_on_regtest() -> None:
    arguments = ["segwit@432", "csv@1", "bip34@2", "dersig@3", "cltv@4", "csv@5"]
    config = load_config(["-regtest", *(f"-testactivationheight={text}" for text in arguments)])
    forks = SoftForks(bip34=2, bip66=3, bip65=4, csv=5, segwit=432)
    assert network_params(config).soft_forks == forks
    assert load_config(["-regtest"]).testactivationheight == ()


@pytest.mark.parametrize("chain", CHAINS)
def test_fastprune_lets_regtest_prune_early(chain: str) -> None:
    params = network_params(load_config([f"-chain={chain}", "-fastprune"]))
    assert params.prune_after_height == (100 if chain == "regtest" else get_params(chain).prune_after_height)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Invalid format () for -testactivationheight=name@height."),
        ("segwit", "Invalid format (segwit) for -testactivationheight=name@height."),
        ("segwit@", "Invalid height value (segwit@) for -testactivationheight=name@height."),
        ("segwit@-1", "Invalid height value (segwit@-1) for -testactivationheight=name@height."),
        ("segwit@2147483647", "Invalid height value (segwit@2147483647) for -testactivationheight=name@height."),
        ("taproot@5", "Invalid name (taproot@5) for -testactivationheight=name@height."),
    ],
)
def test_heights_of_soft_forks_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network_params(load_config(["-regtest", f"-testactivationheight={text}"]))
    assert str(caught.value) == sentence


def test_times_of_a_deployment() -> None:
    config = load_config(["-regtest", "-vbparams=testdummy:-1:9223372036854775807", "-vbparams=testdummy:5:7:9"])
    (dummy,) = network_params(config).deployments
    assert (dummy.bit, dummy.start_time, dummy.timeout, dummy.min_activation_height) == (28, 5, 7, 9)
    (dummy,) = network_params(load_config(["-regtest", "-vbparams=testdummy:-2:0"])).deployments
    assert (dummy.start_time, dummy.timeout, dummy.min_activation_height) == (-2, 0, 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "testdummy:1",
            "Version bits parameters malformed, expecting deployment:start:end[:min_activation_height]",
        ),
        ("testdummy:a:1", "Invalid nStartTime (a)"),
        ("testdummy:1:", "Invalid nTimeout ()"),
        ("testdummy:1:2:x", "Invalid min_activation_height (x)"),
        ("taproot:1:2", "Invalid deployment (taproot)"),
    ],
)
def test_times_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network_params(load_config(["-regtest", f"-vbparams={text}"]))
    assert str(caught.value) == sentence
    with pytest.raises(ConfigError, match=r"^-vbparams can only be used with regtest$"):
        load_config(["-vbparams=testdummy:1:2"])


def test_heights_of_soft_forks_are_for_regtest() -> None:
    with pytest.raises(ConfigError, match=r"^-testactivationheight can only be used with regtest$"):
        load_config(["-testactivationheight=segwit@5"])


def test_options_of_core_without_effect_are_accepted(file: Path) -> None:
    file.write_text("rpcthreads: 4\n")
    config = load_config(["-c", str(file), "-nologratelimit", "-keypool=1", "-checkaddrman=0"])
    assert config.ignored == (
        f"rpcthreads ({file}:1)",
        "logratelimit (command line)",
        "keypool (command line)",
        "checkaddrman (command line)",
    )


def test_network_of_ones_own(file: Path) -> None:
    file.write_text("chain: mychain\nnetwork:\n  base: regtest\n  magic: 'fabfb5db'\n  spacing: 60\n  seeds: [a, b]\n")
    config = load_config(conf=file)
    assert config.network == {"base": "regtest", "magic": "fabfb5db", "spacing": 60, "seeds": ["a", "b"]}
    assert config.folder.name == "mychain"


FILE_ERRORS = [
    ("maxconection: 5\n", "1: unknown key maxconection; did you mean maxconnections?"),
    ("\n\nreindex_headers: 1\n", "3: unknown key reindex_headers; did you mean reindex-headers?"),
    ("nolissten: 1\n", "1: unknown key nolissten; did you mean nolisten?"),
    ("zzzzzz: 1\n", "1: unknown key zzzzzz"),
    ("port: 1\nlisten: 1\nport: 2\n", "3: 'port' appears twice (first on line 1)"),
    ("listen: 1\nnolisten: 1\n", "2: 'listen' appears twice (first on line 1)"),
    (
        "regtest: 1\nchain: main\n",
        "2: Invalid combination of -regtest, -signet, -testnet, -testnet4 and -chain. Can use at most one.",
    ),
    ("port: abc\n", "1: 'port' wants a whole number from 0 to 65535, not 'abc'"),
    ("port: 65536\n", "1: 'port' wants a whole number from 0 to 65535, not '65536'"),
    ("port: 1_0\n", "1: 'port' wants a whole number from 0 to 65535, not '1_0'"),
    ("port: [1, 2]\n", "1: 'port' takes one value, not a list"),
    ("port:\n", "1: 'port' has no value"),
    ("listen:\n", "1: 'listen' has no value"),
    ("regtest: ~\n", "1: 'regtest' has no value"),
    ("addnode: []\n", "1: 'addnode' takes a value or a list of values"),
    ("debug: []\n", "1: 'debug' takes a value or a list of values"),
    ("port: {a: 1}\n", "1: 'port' takes a value or a list of values"),
    ("connect:\n  - a\n  - [b]\n", "2: 'connect' takes a value or a list of values"),
    ("connect:\n  - a\n  -\n", "2: 'connect' takes a value or a list of values"),
    ("listen: maybe\n", "1: 'listen' wants yes or no (or true, false, 1, 0), not 'maybe'"),
    ("maxtipage: -1\n", "1: 'maxtipage' wants a whole number of at least 0, not '-1'"),
    ("timeout: 0\n", "1: 'timeout' wants a whole number of at least 1, not '0'"),
    ("peertimeout: 0\n", "1: peertimeout must be a positive integer."),
    ("noport: 1\n", "1: 'noport' makes no sense: 'port' wants a whole number from 0 to 65535"),
    ("noaddnode: 0\n", "1: 'noaddnode' makes no sense: 'addnode' wants an address without spaces"),
    ("connect: a b\n", "1: 'connect' wants an address without spaces, not 'a b'"),
    ("chain: mian\n", "1: Unknown chain mian. Did you mean main?"),
    ("chain: ../up\n", "1: Unknown chain ../up."),
    ("chain: dogechain\n", "1: Unknown chain dogechain."),
    ("minimumchainwork: xyz\n", "1: Invalid non-hex (xyz) minimum chain work value specified"),
    ("onlynet: tor\n", "1: Unknown network specified in -onlynet: 'tor'"),
    ("uacomment: a/b\n", "1: User Agent comment (a/b) contains unsafe characters."),
    ("debug: nett\n", "1: Unsupported logging category: nett."),
    (
        "loglevel: loud\n",
        "1: 'loglevel' wants LEVEL or CATEGORY:LEVEL, with a level of trace, debug, info, warning, error, not 'loud'",
    ),
    ("checkpoints: {5: ab}\n", "1: 'checkpoints' wants a height and a hash of 64 hexadecimal digits, not '5:ab'"),
    ("checkpoints: 5\n", "1: 'checkpoints' wants a height and a hash of 64 hexadecimal digits, not '5'"),
    ("signetchallenge: 5\n", "1: 'signetchallenge' wants hexadecimal digits, two for each byte, not '5'"),
    ("signetchallenge: 51\n", "1: 'signetchallenge' is for chain signet, and this is mainnet"),
    ("conf: other.yaml\n", "1: 'conf' cannot be set in the configuration file; use the command line"),
    ("forcednsseed: 1\ndnsseed: 0\n", "1: Cannot set -forcednsseed to true when setting -dnsseed to false."),
    ("listen: 0\nbind: ::1\n", "2: Cannot set -bind or -whitebind together with -listen=0"),
    (
        "dnsseed: 1\nonlynet: onion\n",
        "1: Incompatible options: -dnsseed=1 was explicitly specified, but -onlynet forbids connections to IPv4/IPv6",
    ),
    ("network: 5\nchain: x\n", "1: 'network' wants a mapping"),
    ("network: {a: 1, b: 2, a: 3}\nchain: x\n", "1: 'a' appears twice (first on line 1)"),
    ("network: {a: 1}\n", "1: 'network' defines a network of its own: 'chain' must name it, not 'mainnet'"),
    ("chain: x\nnetwork:\n  date: 2020-13-45\n", "3: in 'network': month must be in 1..12"),
    ("chain: x\nnetwork:\n  a: !thing 5\n", "3: could not determine a constructor for the tag '!thing'"),
    ("listen: 1\n\tport: 2\n", "2: a tab character; YAML is indented with spaces"),
    ("connect:\n\t- a\n", "2: a tab character; YAML is indented with spaces"),
    ("connect:\n  - a\n\t- b\n", "3: a tab character; YAML is indented with spaces"),
    ("port: 1\nport 2\n", "3: could not find expected ':'"),
    ("port: [1\n", "2: expected ',' or ']', but got '<stream end>'"),
    ("- port\n", "1: lines of KEY: VALUE are wanted here"),
    ("just text\n", "1: lines of KEY: VALUE are wanted here"),
    ("port: 1\n---\nport: 2\n", "2: but found another document"),
    ("port: 1\nlisten: \x07\n", "2: a control character (code 7)"),
]


@pytest.mark.parametrize(("text", "message"), FILE_ERRORS)
def test_mistakes_in_a_file(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(conf=file)
    assert str(caught.value) == f"{file}:{message}"
    assert caught.value.exit_status is ExitStatus.CONFIG


ARGUMENT_ERRORS = [
    (["port=1"], "unexpected argument 'port=1'; options are written --KEY=VALUE"),
    (["--"], "unexpected argument '--'; options are written --KEY=VALUE"),
    (["--maxconection=5"], "unknown option --maxconection; did you mean --maxconnections?"),
    (["--port"], "'port' needs a value: a whole number from 0 to 65535"),
    (["--port=x"], "'port' wants a whole number from 0 to 65535, not 'x'"),
    (["--port="], "'port' wants a whole number from 0 to 65535, not ''"),
    (["--onlynet=tor"], "Unknown network specified in -onlynet: 'tor'"),
    (["--network=x"], "'network' wants a mapping, in the configuration file, not 'x'"),
    (["-c"], "'conf' wants a path, not ''"),
    (
        ["-regtest", "-signet"],
        "Invalid combination of -regtest, -signet, -testnet, -testnet4 and -chain. Can use at most one.",
    ),
    (["--bind=::1", "--nolisten"], "Cannot set -bind or -whitebind together with -listen=0"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENT_ERRORS)
def test_mistakes_on_the_command_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(arguments)
    assert str(caught.value) == message


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: cannot be read: {reason}')}$"):
            load_config(conf=path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"port: 1 # \xe9\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: is not UTF-8 text (byte 10)')}$"):
        load_config(conf=path)


def without_sources(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in Config.__slots__ if name not in ("conf", "origins", "ignored")}


@pytest.mark.parametrize("text", ["", FILE, "noconnect: 1\n", "chain: x\nnetwork: {base: regtest, seeds: [a, b]}\n"])
def test_rendered_configuration_is_a_file_with_the_same_meaning(tmp_path: Path, file: Path, text: str) -> None:
    file.write_text(text)
    config = load_config(["--maxconnections=0"], file)
    again = tmp_path / "again.yaml"
    again.write_text(render_config(config))
    assert without_sources(load_config(conf=again)) == without_sources(config)
    assert load_config(conf=again).automatic == config.automatic


def test_rendered_configuration_says_where_values_come_from(file: Path) -> None:
    file.write_text("port: 18444\naddnode: [a, b]\n")
    lines = render_config(load_config(["--maxconnections=0", "--noseednode"], file)).splitlines()
    assert lines[0] == "# Network"
    assert {
        "maxconnections: 0  # command line",
        "timeout: 5000  # default",
        "listen: false  # implied by maxconnections=0",
        f"port: 18444  # {file}:1",
        f"addnode: [a, b]  # {file}:2",
        "# seednode: not set  (command line)",
        "# services: not set  (default)",
    } <= set(lines)


def test_help_names_every_option_and_its_default() -> None:
    text = " ".join(render_help().split())
    for name, option in OPTIONS.items():
        assert re.search(rf"--{name}(=VALUE)? {re.escape(option.help)}", text)
    assert "--maxconnections=VALUE" in text
    assert "(default 125)" in text


@pytest.mark.parametrize("chain", CHAINS)
def test_file_of_each_network_loads(chain: str) -> None:
    path = ROOT / "conf" / f"{chain}.yaml"
    config = load_config(conf=path)
    assert config.chain == chain
    assert set(config.origins) == {"chain"}
    assert not config.ignored


@pytest.mark.parametrize("chain", CHAINS)
def test_commented_settings_of_each_file_are_the_defaults(tmp_path: Path, chain: str) -> None:
    """A line ``#key: value`` can be had by removing the ``#``: it loads, and changes nothing but examples."""
    text = (ROOT / "conf" / f"{chain}.yaml").read_text()
    path = tmp_path / f"{chain}.yaml"
    path.write_text(re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE))
    config = load_config(conf=path)
    assert len(config.origins) > 5
    examples = {"connect", "addnode", "seednode", "bind", "onlynet", "uacomment", "dnsserver", "debug", "checkpoints"}
    examples |= {"metrics", "whitelist", "whitebind", "externalip", "proxy", "onion"}
    examples |= {"server", "rpcport", "rpcauth", "rpcwhitelist", "rpcbind", "rpcallowip"}
    network = {"port", "minimumchainwork", "signetchallenge", "signetseednode", "mocktime", "testactivationheight"}
    network |= {"sync", "assumevalid"}
    params, builtin = network_params(config), network_params(Config(chain=chain))
    assert validates_blocks(config, params) is not builtin.headers_only
    assert params.assumevalid == builtin.assumevalid or chain == "signet"  # of its own signet nobody knows one
    written = {name for name, origin in config.origins.items() if not origin.startswith("implied")}
    for name in written - examples - network - {"chain"}:
        assert getattr(config, name.replace("-", "_")) == OPTIONS[name].default, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-prune=549"], "Prune configured below the minimum of 550 MiB. Please use a higher number."),
        (["-prune=-1"], "Prune cannot be configured with a negative value."),
        (["-prune=550", "-reindex-chainstate"], "Prune mode is incompatible with -reindex-chainstate."),
        (["-assumevalid=xyz"], r"Invalid assumevalid block hash specified \(xyz\)"),
        (["-sync=some"], "headers or blocks"),
        (["-peerblockfilters"], "Cannot set -peerblockfilters without -blockfilterindex."),
        (["-peerblockfilters", "-noblockfilterindex"], "Cannot set -peerblockfilters without -blockfilterindex."),
        (["-blockfilterindex=abc"], "Unknown -blockfilterindex value abc."),
        (["-dbcache=0"], "'dbcache'"),
    ],
)
def test_what_blocks_cannot_be_kept_by(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(arguments)


@pytest.mark.parametrize(("chain", "blocks"), [("mainnet", False), ("testnet3", False), ("signet", True)])
def test_whether_blocks_are_wanted(chain: str, blocks: bool) -> None:
    for arguments, expected in ((), blocks), (("-sync=headers",), False), (("-sync=blocks",), True):
        config = load_config([f"-chain={chain}", *arguments])
        assert validates_blocks(config, network_params(config)) is expected


@pytest.mark.parametrize(
    ("argument", "value"), [("", True), ("=basic", True), ("=1", True), ("=0", False), ("=no", False)]
)
def test_values_of_blockfilterindex(argument: str, value: bool) -> None:
    config = load_config(["-chain=regtest", f"-blockfilterindex{argument}"])
    assert config.blockfilterindex is value
    check(config, network_params(config))


@pytest.mark.parametrize("name", ["blockfilterindex", "peerbloomfilters"])
def test_filters_are_for_a_node_with_blocks(name: str) -> None:
    config = load_config([f"-{name}"])
    with pytest.raises(StartupError, match=f"{name} is for a node with blocks: set sync=blocks"):
        check(config, network_params(config))


def test_assumevalid() -> None:
    text = "00000000000000000000ccebd6d74d9194d8dcdc1d177c478e094bfad51ba5ac"
    config = load_config([f"-assumevalid={text}"])
    assert network_params(config).assumevalid == bytes.fromhex(text)[::-1]
    assert f"assumevalid: {text}" in render_config(config).replace("'", "")
    assert network_params(load_config(["-noassumevalid"])).assumevalid is None
    assert network_params(load_config([])).assumevalid == bytes.fromhex(text)[::-1]
