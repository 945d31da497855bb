"""The focus map: the plane of focus over a slide, from single shots or from stacks (paper 2, section 2.2)."""
