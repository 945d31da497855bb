"""Make a freshly written card of Raspberry Pi OS become a rig on its first boot.

    python -m hw.flash.card --boot /media/me/bootfs --hostname worm1 --user lab
        --ssh-key ~/.ssh/id_ed25519.pub --rig my_rig.yaml

writes cloud-init's files and a folder `wormfocus` (install script, wheelhouse, rig file, bundle) onto the
boot partition. Wi-Fi: --wifi-ssid and --wifi-country; the passphrase is asked for, or read from a file.
"""

import argparse
import getpass
import shutil
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from hw.config import load_rig
from hw.errors import ConfigError, WormfocusError
from hw.flash.first_boot import PAYLOAD, RigSettings, WifiSettings, first_boot_files, wpa2_key
from hw.flash.wheelhouse import check_wheelhouse

__all__ = ["write_card"]


def write_card(boot: Path, settings: RigSettings, wheelhouse: Path, bundle: Path | None = None) -> None:
    """Write all that the first boot needs onto the boot partition.

    Parameters
    ----------
    boot : where the boot partition is mounted; files of an earlier call are replaced
    settings : of this card
    wheelhouse : from `hw.flash.wheelhouse`
    bundle : a network; the shipped one when absent

    Raises
    ------
    ConfigError
        `boot` is no boot partition, the wheelhouse is damaged, the bundle is missing, or there is no room.
    """
    if not (boot / "config.txt").is_file() or not (boot / "cmdline.txt").is_file():
        raise ConfigError(f"{boot}: no boot partition of Raspberry Pi OS; mount the card and name its bootfs")
    if bundle is not None and not bundle.is_file():
        raise ConfigError(f"{bundle}: no such bundle; check the path")
    check_wheelhouse(wheelhouse)
    payload = boot / PAYLOAD
    try:
        if payload.exists():
            shutil.rmtree(payload)
        payload.mkdir()
        shutil.copytree(wheelhouse, payload / "wheelhouse", copy_function=shutil.copyfile)
        with resources.as_file(resources.files("hw.flash") / "install.sh") as script:
            shutil.copyfile(script, payload / "install.sh")
        (payload / "rig.yaml").write_text(settings.rig, encoding="utf-8")
        if bundle is not None:
            shutil.copyfile(bundle, payload / bundle.name)
        # Last: without these, nothing happens on the first boot.
        for name, text in first_boot_files(settings).by_name().items():
            (boot / name).write_text(text, encoding="utf-8")
    except (OSError, shutil.Error) as error:
        raise ConfigError(f"{boot}: cannot be written ({error}); check room and write protection") from error


def settings_from(given: argparse.Namespace) -> RigSettings:
    """Read files and passphrase that the command line names, and check everything.

    Raises
    ------
    ConfigError
        Something does not exist or is not what it should be.
    """
    # Read for its errors: a wrong rig file is better found here than on a headless Pi.
    rig = load_rig(given.rig)
    try:
        keys = tuple(path.expanduser().read_text(encoding="utf-8") for path in given.ssh_key)
        rig_text = _rig_text(given.rig)
        passphrase = (
            given.wifi_passphrase.read_text(encoding="utf-8").rstrip("\n") if given.wifi_passphrase else None
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}; check the path") from error
    if rig.kind == "replayed":
        raise ConfigError(
            f"rig '{rig.name}' is replayed: it shows a recording, and a card has none; give another"
        )
    if (given.wifi_ssid is None) != (given.wifi_country is None):
        raise ConfigError("--wifi-ssid and --wifi-country belong together; give both or none")
    try:
        wifi = None
        if given.wifi_ssid is not None:
            if passphrase is None:
                passphrase = getpass.getpass(f"passphrase of Wi-Fi network {given.wifi_ssid}: ")
            key = wpa2_key(given.wifi_ssid, passphrase)
            wifi = WifiSettings(ssid=given.wifi_ssid, country=given.wifi_country, key=key)
        return RigSettings(
            hostname=given.hostname,
            user=given.user,
            ssh_keys=keys,
            rig=rig_text,
            timezone=given.timezone,
            wifi=wifi,
            bundle=given.bundle.name if given.bundle else None,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{key}: {first['msg'].removeprefix('Value error, ')}; see --help") from error
    except ValueError as error:
        raise ConfigError(f"Wi-Fi: {error}; check it") from error


def _rig_text(rig: str) -> str:
    path = Path(rig)
    if path.suffix in {".yaml", ".yml"}:
        return path.read_text(encoding="utf-8")
    return (resources.files("hw") / "rigs" / f"{rig}.yaml").read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m hw.flash.card", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--boot", type=Path, required=True, help="the card's boot partition, mounted")
    parser.add_argument("--wheelhouse", type=Path, default=Path("wheelhouse"))
    parser.add_argument("--hostname", required=True)
    parser.add_argument("--user", required=True, help="account of the operator")
    parser.add_argument(
        "--ssh-key", type=Path, action="append", required=True, help="public key file; again for more"
    )
    parser.add_argument("--rig", required=True, help="rig file, or the name of a shipped rig")
    parser.add_argument("--bundle", type=Path, help=".tflite bundle; the shipped one when absent")
    parser.add_argument("--timezone", default="Etc/UTC", help="such as Europe/Berlin")
    parser.add_argument("--wifi-ssid")
    parser.add_argument("--wifi-country", help="such as DE")
    parser.add_argument("--wifi-passphrase", type=Path, metavar="FILE", help="asked for when absent")
    given = parser.parse_args(arguments)
    try:
        write_card(given.boot, settings_from(given), given.wheelhouse, given.bundle)
    except WormfocusError as error:
        print(f"card: {error}", file=sys.stderr)
        return 2
    print(f"{given.boot}: ready; unmount it and boot the Pi, which installs itself within some minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
