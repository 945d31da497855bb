"""`wormfocus sign`: a bundle says who made it, and a key to say so with."""

from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json


@app.command("sign")
def sign(
    bundle: Annotated[
        str | None, typer.Argument(help="A .tflite bundle, or the name of a shipped one, with --out.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="File of the private key.")] = None,
    new_key: Annotated[
        Path | None,
        typer.Option(help="Make a key: the private half in this new file, the public one in FILE.pub."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the signed bundle here; in its place when absent.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write which key signed what here.")
    ] = None,
) -> None:
    """Sign a bundle, so that 'wormfocus verify --public-key' can say whether it is yours; or make a key."""
    from edge.bundle.file import find_bundle, load_bundle
    from edge.bundle.layout import read_parts, write_parts
    from edge.bundle.signature import load_private_key, make_key, public_half
    from edge.bundle.signature import sign as signed
    from hw.errors import BundleError, ConfigError

    if (key is None) == (new_key is None):
        raise ConfigError("sign needs a key; give either --key FILE, or --new-key FILE to make one")
    if bundle is None and (new_key is None or out is not None):
        raise ConfigError("nothing to sign; name a bundle")
    if bundle is not None:
        path = find_bundle(bundle)
        # Before a key is made for nothing, and never a signature for what is not whole.
        card = load_bundle(path).card
        if out is None and path != Path(bundle):
            raise BundleError(f"{bundle}: is a shipped bundle; name a file for the signed copy with --out")
        if out is not None and out.suffix != ".tflite":
            raise BundleError(f"{out}: a bundle's name ends in .tflite; rename it")
    if new_key is not None:
        private = make_key(new_key)
        print(f"{new_key}: new private key, keep it to yourself; give {new_key}.pub to those who verify")
    else:
        assert key is not None
        private = load_private_key(key)
    key_id = public_half(private).key_id
    told = {"key_id": key_id, "bundle": None, "flatbuffer_sha256": None}
    if bundle is not None:
        parts = read_parts(path)
        target = out or path
        write_parts(target, signed(parts, private))
        told |= {"bundle": str(target), "flatbuffer_sha256": card.flatbuffer_sha256}
        replaced = ", in place of an earlier signature" if parts.signature is not None else ""
        print(f"{target}: {card.name} signed by key {key_id}{replaced}")
    if json_file is not None:
        write_json(json_file, told)
