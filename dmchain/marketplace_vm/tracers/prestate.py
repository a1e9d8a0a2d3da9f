"""prestateTracer: what a transaction touched, as it was before (options diffMode, disableCode, disableStorage).

What was touched is what the EVM asked the warm set for (EIP-2929), which it does at every access to an account or slot.
How that was before is in the oldest entry of the journal about it: the journal begins with the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dmchain.marketplace_vm.calls import AccessRecorder
from dmchain.marketplace_vm.state import MISSING, NO_ACCOUNT, Account, FlatState
from dmchain.marketplace_vm.tracers.base import BaseTracer, Message, hex_data, hex_word


@dataclass(slots=True)
class _Touched:
    """One account before and after, with the slots of it that were touched: slot -> (before, after)."""

    before: Account | None
    after: Account | None
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)


class PrestateTracer(BaseTracer):
    """geth's prestateTracer. The state's warm set must be an AccessRecorder."""

    def __init__(
        self,
        *,
        diff: bool = False,
        disable_code: bool = False,
        disable_storage: bool = False,
        include_empty: bool = False,
    ) -> None:
        self._diff = diff
        self._disable_code = disable_code
        self._disable_storage = disable_storage
        self._include_empty = include_empty
        self._always: list[bytes] = []
        self._created: dict[bytes, bool] = {}

    def begin(self, block: Any, message: Message) -> None:
        self._flat: FlatState = block.flat
        self._recorder: AccessRecorder = block.flat.warm
        assert isinstance(self._recorder, AccessRecorder)
        self._recorder.seen.clear()
        self._always = [message.sender, message.to, block.environment.coinbase]

    def enter(self, computation: Any) -> None:
        if computation.msg.is_create:
            self._created[computation.msg.storage_address] = True

    def finish(self, message: Message, gas_used: int) -> Any:
        touched = self._collect()
        if self._diff:
            return self._show_differences(touched)
        return {
            hex_data(address): self._show(
                entry.before or NO_ACCOUNT, {slot: old for slot, (old, _) in entry.slots.items()}
            )
            for address, entry in touched.items()
            if entry.before is not None or address not in self._created or self._include_empty
        }

    def _collect(self) -> dict[bytes, _Touched]:
        flat = self._flat
        accounts_before: dict[bytes, Account | None] = {}
        slots_before: dict[tuple[bytes, int], int] = {}
        for target, key, old in flat.journal:
            if target is flat.acc:
                accounts_before.setdefault(key, old)
            elif target is flat.sto:
                slots_before.setdefault(key, 0 if old is MISSING else old)
        touched: dict[bytes, _Touched] = {}
        seen = list(self._recorder.seen)
        for address in [*self._always, *self._created, *(key[0] if isinstance(key, tuple) else key for key in seen)]:
            if address and address not in touched:
                after = flat.account(address)
                touched[address] = _Touched(accounts_before.get(address, after), after)
        for key in seen:
            if isinstance(key, tuple) and not self._disable_storage:
                after_value = flat.get_storage(*key)
                touched[key[0]].slots[key[1]] = (slots_before.get(key, after_value), after_value)
        return touched

    def _show(self, account: Account, slots: dict[int, int]) -> dict[str, Any]:
        nonce, balance, code_hash, _ = account
        shown: dict[str, Any] = {"balance": hex(balance)}
        if nonce:
            shown["nonce"] = nonce
        if code_hash != NO_ACCOUNT[2] and not self._disable_code:
            shown["code"] = hex_data(self._flat.code_by_hash(code_hash))
            shown["codeHash"] = hex_data(code_hash)
        if slots:
            shown["storage"] = {hex_word(slot): hex_word(value) for slot, value in slots.items()}
        return shown

    def _show_differences(self, touched: dict[bytes, _Touched]) -> dict[str, Any]:
        """Accounts that changed: `pre` in full, with the slots that changed, `post` with what changed of them."""
        pre: dict[str, Any] = {}
        post: dict[str, Any] = {}
        for address, entry in touched.items():
            changed = {slot: values for slot, values in entry.slots.items() if values[0] != values[1]}
            if entry.before == entry.after and not changed:
                continue
            name = hex_data(address)
            if entry.before is not None or self._include_empty or address not in self._created:
                pre[name] = self._show(
                    entry.before or NO_ACCOUNT, {slot: old for slot, (old, _) in changed.items() if old}
                )
            if entry.after is not None:
                post[name] = self._show_change(
                    entry.before or NO_ACCOUNT, entry.after, {slot: new for slot, (_, new) in changed.items() if new}
                )
        return {"pre": pre, "post": post}

    def _show_change(self, before: Account, after: Account, slots: dict[int, int]) -> dict[str, Any]:
        shown = self._show(after, slots)
        if after[1] == before[1]:
            del shown["balance"]
        if after[0] == before[0]:
            shown.pop("nonce", None)
        if after[2] == before[2]:
            shown.pop("code", None)
            shown.pop("codeHash", None)
        return shown
