"""Site-Net (arXiv:2209.08190; doi:10.1039/d3dd00005b) over ragged pairs.

`config` can be read without torch; `network.SiteNet` is the module.
"""
