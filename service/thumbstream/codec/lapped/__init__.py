"""The lapped family (bitstream 8): lapped KLT, binary planes, a first look without networks."""
