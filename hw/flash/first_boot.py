"""What cloud-init reads on the first boot: user, key, network, rig file, and the call of the install script.

Raspberry Pi OS from Trixie on brings cloud-init, which reads three files from the boot partition (data source
NoCloud). Nothing in them is a secret that anyone could log in with: the account has a public key and no
password, and the network's passphrase is stored as the key that WPA2 derives from it.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field

from hw.section import Section

__all__ = ["PAYLOAD", "FirstBootFiles", "RigSettings", "WifiSettings", "first_boot_files", "wpa2_key"]

# The boot partition as the running Pi sees it, and our folder on it.
BOOT, PAYLOAD = "/boot/firmware", "wormfocus"

KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519", "sk-ecdsa-sha2-")


def _public_key(text: str) -> str:
    text = text.strip()
    if "PRIVATE KEY" in text:
        raise ValueError("this is a private key, which must never leave its computer; give the .pub file")
    if "\n" in text or not text.startswith(KEY_TYPES) or len(text.split()) < 2:
        raise ValueError("no OpenSSH public key in one line, such as 'ssh-ed25519 AAAA... name'")
    return text


class WifiSettings(Section):
    """A WPA2 network."""

    ssid: Annotated[str, Field(min_length=1, max_length=32)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="Its rules for radio, such as DE.")]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="From `wpa2_key`.")]


class RigSettings(Section):
    """What differs from one card to the next."""

    hostname: Annotated[
        str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="Lower case, digits, dashes.")
    ]
    user: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="The operator's account, may use sudo.")
    ]
    ssh_keys: Annotated[tuple[Annotated[str, AfterValidator(_public_key)], ...], Field(min_length=1)]
    rig: str = Field(description="Text of the rig file.")
    timezone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+/-]+$")] = "Etc/UTC"
    wifi: WifiSettings | None = None
    bundle: Annotated[str, Field(pattern=r"^[\w.-]+\.tflite$")] | None = Field(
        None, description="File name in the payload folder; the bundle that ships when absent."
    )


@dataclass(frozen=True, slots=True)
class FirstBootFiles:
    """Texts of the three files on the boot partition."""

    user_data: str
    meta_data: str
    network_config: str

    def by_name(self) -> dict[str, str]:
        """Return the texts by the names that cloud-init looks for."""
        return {
            "user-data": self.user_data,
            "meta-data": self.meta_data,
            "network-config": self.network_config,
        }


def wpa2_key(ssid: str, passphrase: str) -> str:
    """Derive the pre-shared key of a WPA2 network.

    PBKDF2 with HMAC-SHA1, 4096 rounds, 256 bits (IEEE 802.11-2020, annex J.4.1).

    Parameters
    ----------
    ssid : 1 to 32 bytes
    passphrase : 8 to 63 printable ASCII characters

    Raises
    ------
    ValueError
        The passphrase is none.
    """
    if not (8 <= len(passphrase) <= 63 and passphrase.isascii() and passphrase.isprintable()):
        raise ValueError("a WPA2 passphrase has 8 to 63 printable ASCII characters")
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), 4096, 32).hex()


def first_boot_files(settings: RigSettings) -> FirstBootFiles:
    """Make the three files."""
    user_data = _dump(_user_data(settings), head="#cloud-config\n")
    network_config = _dump({"network": _network(settings.wifi)})
    # A card with other settings is another instance, for which cloud-init runs everything again.
    digest = hashlib.sha256((user_data + network_config).encode()).hexdigest()[:12]
    meta_data = _dump({"instance-id": f"wormfocus-{digest}", "local-hostname": settings.hostname})
    return FirstBootFiles(user_data, meta_data, network_config)


def _user_data(settings: RigSettings) -> dict[str, Any]:
    payload = f"{BOOT}/{PAYLOAD}"
    # FAT has no x bit.
    install = ["bash", f"{payload}/install.sh", "--rig", f"{payload}/rig.yaml", "--operator", settings.user]
    if settings.bundle is not None:
        install += ["--bundle", f"{payload}/{settings.bundle}"]
    return {
        "hostname": settings.hostname,
        "manage_etc_hosts": True,
        "timezone": settings.timezone,
        "users": [
            {
                "name": settings.user,
                "groups": ["adm", "gpio", "plugdev", "sudo", "video"],
                "shell": "/bin/bash",
                "lock_passwd": True,
                # Without a password there is none to ask for.
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": list(settings.ssh_keys),
            }
        ],
        "ssh_pwauth": False,
        "runcmd": [["systemctl", "enable", "--now", "ssh.service"], install],
        "final_message": "wormfocus: first boot is over after $UPTIME s; see /var/log/cloud-init-output.log",
    }


def _network(wifi: WifiSettings | None) -> dict[str, Any]:
    # Optional: a rig works without a network, so it does not wait for one.
    network: dict[str, Any] = {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}
    if wifi is not None:
        network["wifis"] = {
            "wlan0": {
                "dhcp4": True,
                "optional": True,
                "regulatory-domain": wifi.country,
                "access-points": {wifi.ssid: {"password": wifi.key}},
            }
        }
    return network


def _dump(values: dict[str, Any], head: str = "") -> str:
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=200)
