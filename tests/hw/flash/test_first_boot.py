"""What goes onto the boot partition, and what cloud-init itself says of it."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hw.config import load_rig
from hw.flash.card import main
from hw.flash.first_boot import RigSettings, WifiSettings, first_boot_files, wpa2_key
from hw.flash.wheelhouse import CHECKSUMS, check_wheelhouse

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA lab@desk"
SSID = 'Lab: 5 "GHz" #1'
PASSPHRASE = "correct horse: battery"
needs_cloud_init = pytest.mark.skipif(
    shutil.which("cloud-init") is None, reason="cloud-init is not installed; apt install cloud-init"
)


def settings(**values: object) -> RigSettings:
    given = {"hostname": "worm1", "user": "lab", "ssh_keys": (KEY,), "rig": "name: x\n", **values}
    return RigSettings.model_validate(given)


def wifi() -> WifiSettings:
    return WifiSettings(ssid=SSID, country="DE", key=wpa2_key(SSID, PASSPHRASE))


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    folder = tmp_path / "bootfs"
    folder.mkdir()
    for name in ("config.txt", "cmdline.txt"):
        (folder / name).touch()
    return folder


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "wormfocus-1-py3-none-any.whl").write_bytes(b"wheel")
    digest = hashlib.sha256(b"wheel").hexdigest()
    (folder / CHECKSUMS).write_text(f"{digest}  wormfocus-1-py3-none-any.whl\n")
    return folder


@pytest.fixture
def call(boot: Path, wheelhouse: Path, tmp_path: Path):
    (tmp_path / "id.pub").write_text(f"{KEY}\n")
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")

    def run(**changes: object) -> int:
        options = {
            "boot": boot,
            "wheelhouse": wheelhouse,
            "hostname": "worm1",
            "user": "lab",
            "ssh-key": tmp_path / "id.pub",
            "rig": "worm_tracker",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return main([word for name, value in options.items() for word in (f"--{name}", str(value))])

    return run


def test_the_key_of_a_wpa2_network():
    # IEEE 802.11-2020, annex J.4.2, first test vector.
    expected = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert wpa2_key("IEEE", "password") == expected
    with pytest.raises(ValueError, match="8 to 63"):
        wpa2_key("IEEE", "short")


def test_nothing_on_the_card_lets_anyone_in_but_the_key():
    files = first_boot_files(settings(wifi=wifi()))
    assert all(PASSPHRASE not in text for text in files.by_name().values())
    user_data = yaml.safe_load(files.user_data)
    (user,) = user_data["users"]
    assert user["lock_passwd"] is True
    assert user["ssh_authorized_keys"] == [KEY]
    assert not {"passwd", "plain_text_passwd", "hashed_passwd"} & set(user)
    assert user_data["ssh_pwauth"] is False
    network = yaml.safe_load(files.network_config)["network"]
    assert network["wifis"]["wlan0"]["access-points"] == {SSID: {"password": wpa2_key(SSID, PASSPHRASE)}}


def test_without_wifi_there_is_the_cable_only_and_nobody_waits_for_it():
    network = yaml.safe_load(first_boot_files(settings()).network_config)["network"]
    assert network == {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}


def test_other_settings_are_another_instance():
    one, same, other = (
        yaml.safe_load(first_boot_files(settings(**values)).meta_data)["instance-id"]
        for values in ({}, {}, {"timezone": "Europe/Berlin"})
    )
    assert one == same != other


@needs_cloud_init
@pytest.mark.parametrize("with_wifi", [False, True])
def test_cloud_init_finds_the_user_data_valid(tmp_path, with_wifi):
    path = tmp_path / "user-data"
    chosen = settings(wifi=wifi() if with_wifi else None, bundle="mine.tflite", timezone="Europe/Berlin")
    path.write_text(first_boot_files(chosen).user_data)
    command = ["cloud-init", "schema", "--config-file", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Valid" in result.stdout
    # That it would have said so.
    path.write_text(path.read_text().replace("lock_passwd: true", "lock_passwd: perhaps"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@needs_cloud_init
def test_cloud_init_finds_the_network_valid(tmp_path):
    version = subprocess.run(["cloud-init", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.\d", version.stdout + version.stderr)
    assert found is not None
    if int(found[1]) < 24:
        pytest.skip("this cloud-init checks user data only; 24 and later check the network, too")
    path = tmp_path / "network-config"
    # The cable only: without netplan, the schema of cloud-init knows no Wi-Fi.
    path.write_text(first_boot_files(settings()).network_config)
    command = ["cloud-init", "schema", "--schema-type", "network-config", "--config-file", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_cloud_init
def test_cloud_init_makes_netplan_of_the_network(tmp_path):
    path = tmp_path / "network-config"
    path.write_text(first_boot_files(settings(wifi=wifi())).network_config)
    options = {"--network-data": path, "--kind": "yaml", "--directory": tmp_path, "--distro": "debian"}
    words = [str(word) for pair in options.items() for word in pair]
    command = ["cloud-init", "devel", "net-convert", *words, "--output-kind", "netplan"]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = (tmp_path / "etc" / "netplan").iterdir()
    network = yaml.safe_load(made.read_text())["network"]
    assert network["wifis"]["wlan0"]["regulatory-domain"] == "DE"
    assert list(network["wifis"]["wlan0"]["access-points"]) == [SSID]


def test_a_card_has_all_that_the_first_boot_calls_for(call, boot, tmp_path):
    bundle = tmp_path / "mine.tflite"
    bundle.write_bytes(b"network")
    assert (
        call(bundle=bundle, wifi_ssid=SSID, wifi_country="DE", wifi_passphrase=tmp_path / "passphrase") == 0
    )
    command = yaml.safe_load((boot / "user-data").read_text())["runcmd"][-1]
    named = [boot / word.removeprefix("/boot/firmware/") for word in command if word.startswith("/boot")]
    assert [path.name for path in named] == ["install.sh", "rig.yaml", "mine.tflite"]
    assert all(path.is_file() for path in named)
    assert load_rig(boot / "wormfocus" / "rig.yaml") == load_rig("worm_tracker")
    check_wheelhouse(boot / "wormfocus" / "wheelhouse")
    assert yaml.safe_load((boot / "meta-data").read_text())["local-hostname"] == "worm1"


def test_a_card_can_be_made_again(call, boot):
    assert call() == 0
    (boot / "wormfocus" / "wheelhouse" / "old.whl").touch()
    assert call(hostname="worm2") == 0
    assert not (boot / "wormfocus" / "wheelhouse" / "old.whl").exists()
    assert "worm2" in (boot / "user-data").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hostname": "Worm_1"}, "hostname"),
        ({"user": "root access"}, "user"),
        ({"timezone": "Berlin; reboot"}, "timezone"),
        ({"rig": "worm_traker"}, "did you mean 'worm_tracker'?"),
        ({"rig": "replay"}, "replayed"),
        ({"ssh_key": "nowhere.pub"}, "nowhere.pub"),
        ({"wifi_ssid": "lab"}, "--wifi-country"),
        ({"wheelhouse": "nowhere"}, "python -m hw.flash.wheelhouse"),
        ({"boot": "/"}, "no boot partition"),
        ({"bundle": "nowhere.tflite"}, "no such bundle"),
    ],
)
def test_a_wrong_setting_is_one_line_and_no_first_boot(call, boot, changes, reason, capsys):
    assert call(**changes) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (boot / "user-data").exists()


@pytest.mark.parametrize("text", ["-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "hello", f"{KEY}\n{KEY}"])
def test_only_a_public_key_is_a_key(call, boot, tmp_path, text, capsys):
    (tmp_path / "bad.pub").write_text(text)
    assert call(ssh_key=tmp_path / "bad.pub") == 2
    assert "key" in capsys.readouterr().err
    assert not (boot / "user-data").exists()


def test_a_damaged_wheelhouse_is_not_put_on_a_card(call, boot, wheelhouse, capsys):
    (wheelhouse / "wormfocus-1-py3-none-any.whl").write_bytes(b"whee")
    assert call() == 2
    assert "damaged" in capsys.readouterr().err
    assert not (boot / "user-data").exists()
