"""Says in one line what to do when the libraries could not be installed."""

import sys

print(
    "The libraries could not be installed (pip's own words are above). They come from the package index alone: "
    "check the network, or the proxy and index settings of pip, then run the same command again.",
    file=sys.stderr,
)
