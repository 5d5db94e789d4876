"""One model under many names: prefixes, regions, dates and versions that its sellers add.

| spelling | whose |
|---|---|
| `claude-haiku-4-5-20251001`, `gpt-5-mini-2025-08-07` | the vendor's dated release |
| `claude-haiku-4-5@20251001`, `publishers/google/models/gemini-2.5-flash` | Vertex AI |
| `us.anthropic.claude-haiku-4-5-20251001-v1:0` | Amazon Bedrock |
| `models/gemini-2.5-flash` | the Gemini API |
| `anthropic/claude-haiku-4-5`, `anthropic/claude-haiku-4.5` | LiteLLM, OpenRouter |

The name of an Azure deployment is its owner's choice and says nothing about the model.
"""

from __future__ import annotations

import re

__all__ = ["same_name", "undated", "vendor_and_name", "vendor_of_api"]

_VENDORS = {"anthropic": "anthropic", "openai": "openai", "google": "google", "gemini": "google"}
_BRANDS = {"claude-": "anthropic", "gemini-": "google"}
_ROUTE = re.compile(r"(?:openrouter|bedrock|vertex_ai|converse|litellm_proxy)/")
_PATH = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/(?P<vendor>[^/]+)/models/|models/")
_ARN = re.compile(r"arn:aws[\w-]*:bedrock:[\w-]*:\d*:(?:foundation-model|inference-profile)/")
_BEDROCK = re.compile(
    r"(?:(?:us|us-gov|eu|apac|au|jp|ca|global)\.)?(?P<vendor>anthropic|openai)\.(?P<name>.+?)(?:-v?\d+(?::\d+)+|-v\d+)?"
)
_DATE = re.compile(r"(?:-\d{8}|-\d{4}-\d{2}-\d{2}|-latest|@\d{8}|@default|@latest)$")


def vendor_of_api(provider: str) -> str:
    """The vendor whose models an API of this package serves where a name does not say otherwise."""
    return {"openai-responses": "openai", "openai-chat": "openai"}.get(provider, provider)


def vendor_and_name(name: str) -> tuple[str | None, str]:
    """The vendor, if `name` says who it is, and the name as the vendor itself writes it, date included."""
    vendor: str | None = None
    name = _ARN.sub("", name.strip(), count=1).lower()
    while match := _ROUTE.match(name):
        name = name[match.end() :]
        vendor = next((owner for brand, owner in _BRANDS.items() if name.startswith(brand)), None)
    if match := _PATH.match(name):
        vendor, name = match["vendor"], name[match.end() :]
    prefix, slash, rest = name.partition("/")
    if slash and prefix in _VENDORS:
        vendor, name = _VENDORS[prefix], rest
        name = name.removeprefix("models/")
    if match := _BEDROCK.fullmatch(name):
        vendor, name = match["vendor"], match["name"]
    if name.startswith("claude-"):
        name = re.sub(r"(?<=\d)\.(?=\d)", "-", name)
    return vendor, name


def undated(name: str) -> str:
    """A name as the vendor writes it, without the date of a release."""
    return _DATE.sub("", name)


def same_name(one: str, other: str) -> bool:
    """Whether two names are spellings of one model."""
    (one_vendor, one_name), (other_vendor, other_name) = vendor_and_name(one), vendor_and_name(other)
    vendors_agree = one_vendor is None or other_vendor is None or one_vendor == other_vendor
    return vendors_agree and undated(one_name) == undated(other_name)
