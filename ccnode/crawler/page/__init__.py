"""The report: ten questions about the network, each answered by one element of one page of HTML."""
