"""wormfocus: single-shot autofocus for microscopes that follow a moving C. elegans."""
