"""Certificates are read once for all clients, and again when they have changed."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from beam_llmdag.providers.http.certificates import certificate_fault, trusting


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one certificate, which the environment names."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    path = tmp_path / "bundle.pem"
    path.write_text(first + end)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return path


def test_all_clients_verify_servers_by_one_context(bundle: Path) -> None:
    assert trusting() is trusting()
    assert (trusting().verify_mode, len(trusting().get_ca_certs())) == (ssl.CERT_REQUIRED, 1)


def test_a_bundle_that_was_changed_is_read_again(bundle: Path) -> None:
    before = trusting()
    bundle.write_text(Path(certifi.where()).read_text())
    assert len(trusting().get_ca_certs()) > len(before.get_ca_certs())


def test_a_bundle_that_was_mended_is_no_fault_any_more(bundle: Path) -> None:
    whole = bundle.read_text()
    bundle.write_text("no certificate")
    assert certificate_fault(str(bundle)) is not None
    bundle.write_text(whole)
    assert certificate_fault(str(bundle)) is None
