"""What a vendor means by an error: one table of codes and one of phrases, for all vendors.

Gateways send one vendor's words in another vendor's shape, under codes and statuses of their own; what was meant then
stands in the words alone, sometimes as JSON text inside of a message. So no table belongs to one API.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from beam_llmdag.errors import ErrorClass
from beam_llmdag.providers.http.reply import codes, error_place, words

__all__ = ["meant_class"]

_LONGEST = 4000  # characters in which phrases are looked for
_DEEPEST = 6
_TEXT_KEYS = (
    *("message", "msg", "detail", "details", "error_description", "error", "errors", "raw", "title"),
    *("error_message", "error_msg", "errmsg", "status_msg"),
)
_OBJECT_KEYS = (*_TEXT_KEYS, "innererror", "inner_error", "metadata", "cause", "base_resp")

_CODES: Mapping[str, ErrorClass] = {  # that leave nothing open; in lower case
    # OpenAI, and servers that speak its protocol
    "insufficient_quota": "quota_exhausted",
    "billing_hard_limit_reached": "quota_exhausted",
    "billing_not_active": "quota_exhausted",
    "exceeded_current_quota_error": "quota_exhausted",
    "insufficient_balance": "quota_exhausted",
    "insufficient_credits": "quota_exhausted",
    "insufficient_funds": "quota_exhausted",
    "payment_required": "quota_exhausted",
    "budget_exceeded": "quota_exhausted",
    "arrearage": "quota_exhausted",
    "out_of_credits": "quota_exhausted",
    "credits_exhausted": "quota_exhausted",
    "insufficient_user_quota": "quota_exhausted",
    "pre_consume_token_quota_failed": "quota_exhausted",
    "context_length_exceeded": "too_long",
    "string_above_max_length": "too_long",
    "exceed_context_size_error": "too_long",
    "payload_too_large": "too_long",
    "context_window_exceeded": "too_long",
    "input_too_long": "too_long",
    "prompt_too_long": "too_long",
    "tokens_limit_reached": "too_long",
    "content_filter": "refused",
    "content_policy_violation": "refused",
    "image_content_policy_violation": "refused",
    "responsibleaipolicyviolation": "refused",
    "data_inspection_failed": "refused",
    "moderation_blocked": "refused",
    "content_blocked": "refused",
    "prompt_blocked": "refused",
    "unsafe_prompt": "refused",
    "bio_policy": "refused",
    "cyber_policy_violation": "refused",
    "misalignment_policy_violation": "refused",
    # Anthropic
    "enforced_spend_limit_reached": "quota_exhausted",
    "contract_spend_limit_reached": "quota_exhausted",
    "linked_organization_spend_limit_reached": "quota_exhausted",
    "linked_organization_billing_unavailable": "quota_exhausted",
    "billing_error": "quota_exhausted",
    "request_body_too_large_after_decoding": "too_long",
    "request_too_large": "too_long",
    # Google
    "billing_disabled": "quota_exhausted",
    "prohibited_content": "refused",
    "api_key_invalid": "auth",  # comes with status 400
}
_GENERAL_CODES: Mapping[str, ErrorClass] = {  # that many things come under: words count before them
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "organization_on_hold": "auth",
    "permission_error": "auth",
    "unauthenticated": "auth",
    "permission_denied": "auth",
    "invalid_authentication_error": "auth",
    "incorrect_api_key_error": "auth",
    "invalidapikey": "auth",
    "unauthorized": "auth",
    "unrecognizedclientexception": "auth",
    "rate_limit": "rate_limited",
    "too_many_requests": "rate_limited",
    "throttling": "rate_limited",
    "throttlingexception": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "resource_exhausted": "rate_limited",
    "timeout_error": "timeout",
    "deadline_exceeded": "timeout",
    "request_timeout": "timeout",
    "engine_overloaded_error": "overloaded",
    "model_overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "server_error": "overloaded",
    "unavailable": "overloaded",
    "internal": "overloaded",
}

_NO_MONEY = (
    *("credit balance is too low", "balance is too low", "insufficient balance", "insufficient account balance"),
    *(
        "balance is insufficient",
        "balance is not enough",
        "balance not enough",
        "not enough balance",
        "余额不足",
        "欠费",
    ),
    *(
        "insufficient funds",
        "insufficient credit",
        "insufficient quota",
        "not enough credit",
        "no credits",
        "more credits",
    ),
    *("out of credits", "any credits", "credits are depleted", "credits have been depleted", "credits depleted"),
    *("all available credits", "purchased credits", "monthly included credits", "credits exhausted"),
    *("credits are exhausted", "credits have been exhausted", "credits have expired", "credits expired"),
    *(
        "api usage limit",
        "spending limit",
        "spend limit",
        "spending cap",
        "monthly limit",
        "monthly quota",
        "hard limit",
    ),
    *("exceededbudget", "budget has been exceeded", "budget exceeded", "exceeded your budget", "monthly budget"),
    *("over budget", "max budget"),
    *("enable billing", "billing is not enabled", "billing has not been enabled", "billing to be enabled"),
    *("billing must be enabled", "billing is disabled", "billing account", "billing not active", "billing limit"),
    *("billing hard limit", "check your billing", "billing is not active", "billing has been disabled"),
    *(
        "payment required",
        "payment method",
        "payment is overdue",
        "payment overdue",
        "overdue payment",
        "payment failed",
    ),
    *("unpaid invoice", "past due", "in arrears", "account is in good standing", "account is suspended"),
    *("account has been suspended", "organization has been disabled", "organization is disabled", "top up"),
    *("plan expired", "plan has expired", "plan is expired", "subscription expired", "subscription has expired"),
    *("subscription is not active", "subscription is inactive", "no active subscription", "trial has expired"),
    *(
        "trial expired",
        "trial has ended",
        "recharge your",
        "quota has been exhausted",
        "quota exhausted",
        "out of quota",
    ),
    "free tier of the model has been exhausted",
    *("credit limit reached", "your monthly spend", "add funds", "negative balance", "usage limit for this month"),
    *("exceeded its usage limit", "exceeded your usage limit", "reached your usage limit", "usage cap"),
    *("key limit exceeded", "exceeded its budget", "used up your free", "free quota", "unpaid", "nonpayment"),
    *("non-payment", "no active billing", "额度不足", "额度已用尽"),
)
_MONEY = r"(?:credits?|balance|funds|quota|allowance|budget)"
_SPENT = r"(?:exhausted|depleted|used up|been used|run out|ran out|insufficient|too low|not enough|negative)"
_NO_MONEY_PATTERN = re.compile(
    rf"\b(?:insufficient|not enough|no remaining|no more|run out of|ran out of)\b(?: \S+){{0,4}} {_MONEY}\b"
    rf"|\b{_MONEY}(?: \S+){{0,3}} {_SPENT}\b"
)
_NO_MONEY_OR_SLOW_DOWN = ("exceeded your current quota", "plan and billing")  # Google says so of a minute, too
_SLOW_DOWN = ("perminute", "per_minute", "per minute", "retry in", "try again in", "retry after", "try again later")
_OF_A_DAY = ("perday", "per_day", "per day", "(tpd)", "(rpd)", "daily limit", "daily quota", "daily request")
_TOO_LONG = (
    *("maximum context length", "context length exceeded", "contextwindowexceedederror", "context window"),
    *("context limit", "context size", "model's context", "maximum model length", "maximum prompt length"),
    *("prompt is too long", "prompt too long", "input is too long", "input too long", "input length exceeds"),
    *("request too large", "request is too large", "request entity too large", "request body too large"),
    *("payload too large", "payload size exceeds", "too many tokens", "too many input tokens", "string too long"),
    *("maximum number of tokens", "maximum number of input tokens", "range of input length should be"),
    *("`inputs` must have less than", "`inputs` tokens + `max_new_tokens`", "reduce the length of the"),
    *("reduce the length of your", "reduce your message size", "maximum allowed number of input tokens"),
    *("model token limit", "exceeds the maximum size", "messages too long", "conversation too long"),
    *("exceeds maximum context", "maximum allowed content length", "submitted was too long", "超出最大长度"),
    *("number of tokens must be less than", "less than max_sequence_length", "in request more than max tokens"),
    *("`inputs` tokens +", "inputs tokens + max_new_tokens"),
)
_TOO_LONG_PATTERN = re.compile(
    r"\b(?:input|prompt)[\w-]*(?: \S+){0,6} exceed(?:s|ed)?(?: \S+){0,3} (?:maximum|limit|length|context)\b"
    r"|\binput token count (?:\S+ ){0,4}but\b"
)
_FILTERED = (
    *("content filter", "content-filter", "contentfilter", "content management policy", "content policy"),
    *("content policies", "content moderation", "contentpolicyviolation", "content safety", "content violat"),
    *("content exists risk", "inappropriate content", "harmful content", "unsafe content", "sensitive content"),
    *("prohibited content", "敏感内容", "usage polic", "usage guidelines", "policy violation", "moderation", "flagged"),
    *("safety system", "safety filter", "safety check", "safety_check", "safety policy", "safety reasons"),
    *("safety settings", "guardrail", "responsible ai", "responsibleai", "jailbreak", "blocked by the filter"),
    *("acceptable use", "request violates our terms", "violates our terms of service", "disallowed content"),
    *("llama guard", "blocked by safety", "blocked: safety", "the prompt: safety", "content blocked"),
    *("content was blocked", "content was rejected", "blocked due to policy", "unsafe prompt", "request was filtered"),
    "response was filtered",
)
_GENERAL_PHRASES: tuple[tuple[tuple[str, ...], ErrorClass], ...] = (  # as with general codes
    (("rate limit reached", "rate limit exceeded", "too many requests", "throttling"), "rate_limited"),
    (("is overloaded", "currently overloaded"), "overloaded"),
)
_PHRASES: tuple[tuple[tuple[str, ...], ErrorClass], ...] = (
    (_NO_MONEY, "quota_exhausted"),
    (_TOO_LONG, "too_long"),
    (_FILTERED, "refused"),
)
_LIMIT = re.compile(r"\blimit(?: is| of|:|=)? ?(\d[\d,]*)")
_REQUESTED = re.compile(r"\brequested:? ?~?(\d[\d,]*)")
_NONE_AT_ALL = re.compile(r"\blimit: 0(?![\d.,]\d)")
_QUOTED = re.compile(r"[\"']([a-z]+(?:_[a-z]+)+)\\?[\"']")


def meant_class(status: int, body: Any) -> ErrorClass | None:
    """What an error means by its codes and words; None leaves it to the status.

    Args:
        status: of the response.
        body: of the response, parsed if it was JSON.
    """
    found = [code.lower() for code in codes(body)]
    said = _said(body)
    inside = _QUOTED.findall(said)  # of JSON inside of a message
    slow_down = _by_code(_GENERAL_CODES, [*found, *inside]) == "rate_limited" or status == 429
    if (slow_down or status == 413) and _never_fits(said):
        return "too_long"
    if slow_down and _is_spent(" ".join([*found, said])):
        return "quota_exhausted"
    return (
        _by_code(_CODES, [*found, *inside])
        or _by_words(said, slow_down)
        or _by_code(_GENERAL_CODES, found)
        or _by_code(_GENERAL_CODES, inside)
        or _by_phrase(_GENERAL_PHRASES, said)
    )


def _by_code(table: Mapping[str, ErrorClass], found: Collection[str]) -> ErrorClass | None:
    """The class of the first code of `table` that is in `found`: a table lists what decides before what is general."""
    return next((error_class for code, error_class in table.items() if code in found), None)


def _by_phrase(table: tuple[tuple[tuple[str, ...], ErrorClass], ...], said: str) -> ErrorClass | None:
    return next((error_class for phrases, error_class in table if any(phrase in said for phrase in phrases)), None)


def _by_words(said: str, slow_down: bool) -> ErrorClass | None:
    if (error_class := _by_phrase(_PHRASES, said)) is not None:
        return error_class
    passes = any(phrase in said for phrase in _SLOW_DOWN)
    if not passes and (_NO_MONEY_PATTERN.search(said) or any(phrase in said for phrase in _NO_MONEY_OR_SLOW_DOWN)):
        return "quota_exhausted"
    return "too_long" if not slow_down and _TOO_LONG_PATTERN.search(said) else None


def _never_fits(said: str) -> bool:
    """Whether more was requested than the limit ever lets through."""
    limit, requested = _LIMIT.search(said), _REQUESTED.search(said)
    return limit is not None and requested is not None and _number(requested[1]) > _number(limit[1])


def _number(digits: str) -> int:
    return int(digits.replace(",", "")[:18])


def _is_spent(said: str) -> bool:
    """Whether it is the limit of a day that was met, or one of nothing at all."""
    return any(phrase in said for phrase in _OF_A_DAY) or _NONE_AT_ALL.search(said) is not None


def _said(body: Any) -> str:
    """The words of an error in lower case, with single blanks. What it quotes of the request is not among them."""
    if isinstance(body, str):
        return words(body).lower()
    texts = _texts_in(error_place(body), _DEEPEST)
    return " ".join(" ".join(text[:_LONGEST] for text in texts).lower()[:_LONGEST].split())


def _texts_in(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for entry in value:
            yield from _texts_in(entry, depth - 1)
    elif isinstance(value, Mapping) and depth:
        for key in _OBJECT_KEYS:
            inner = value.get(key)
            if key in _TEXT_KEYS or not isinstance(inner, str):
                yield from _texts_in(inner, depth - 1)
