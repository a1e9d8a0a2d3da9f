"""Compute-to-data: ordering that an algorithm be run where the data is."""

from __future__ import annotations

from typing import Any

from dmchain.market import cids
from dmchain.market.chain import read_draw_header
from dmchain.market.context import Context, call
from dmchain.market.errors import InvalidInput
from dmchain.market.inputs import DatasetLike, DurationLike, duration, resolve_dataset
from dmchain.market.models import ComputeOrder
from dmchain.market.money import Token
from dmchain.market.payments import check_balance, ensure_allowance
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import build
from dmchain.market.transactions import Receipt, transact

CONTRACT = "ComputeMarket"
SIGNATURE_BYTES = 65


class Compute(Group[M]):
    """Orders of computation: `market.compute`."""

    @operation
    def order(
        self,
        dataset: DatasetLike,
        algorithm: str | bytes,
        max_units: int,
        *,
        accept_within: DurationLike = "1h",
        complete_within: DurationLike = "1d",
        extra_pay: int | str = 0,
        attestation_fee: int | str = 0,
        token: str | Token | None = None,
    ) -> Steps[ComputeOrder]:
        """Order a computation on a data set the signer has prepaid units of; `algorithm` is a CID.

        `extra_pay` goes to who runs it, `attestation_fee` to the operator who attests; both in `token`.
        """
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        of = yield from context.token(token or "DM")
        pay, _ = yield from context.amount(extra_pay, of)
        fee, _ = yield from context.amount(attestation_fee, of)
        sender = yield from context.sender()
        if pay + fee:
            yield from check_balance(context, of, sender, pay + fee)
            yield from ensure_allowance(context, of, CONTRACT, pay + fee)
        struct = {
            "datasetId": raw,
            "algorithmCid": cids.to_bytes(algorithm),
            "maxUnits": max_units,
            "acceptWithin": duration(accept_within),
            "completeWithin": duration(complete_within),
            "token": of.address,
            "extraPay": pay,
            "attestationFee": fee,
        }
        receipt = yield from transact(context, CONTRACT, "order", struct, value=pay + fee if of.is_native else 0)
        return (yield from _read(context, receipt.event("OrderPlaced").arguments["orderId"]))

    @operation
    def accept(self, order_id: int) -> Steps[ComputeOrder]:
        """Commit to run an order, as the data set's owner or executor."""
        return (yield from _act(self._context, "accept", order_id))

    @operation
    def reject(self, order_id: int) -> Steps[ComputeOrder]:
        """Refuse or give up an order; all goes back to the consumer."""
        return (yield from _act(self._context, "reject", order_id))

    @operation
    def cancel(self, order_id: int) -> Steps[ComputeOrder]:
        """Take an order back before it is accepted."""
        return (yield from _act(self._context, "cancel", order_id))

    @operation
    def draw(self, order_id: int) -> Steps[ComputeOrder]:
        """Draw the operator who attests by the header of the order's draw block, once it is there. Anyone may."""
        context = self._context
        order = yield from _read(context, order_id)
        header = yield from read_draw_header(order.draw_block, f"order {order_id}")
        yield from transact(context, CONTRACT, "draw", order_id, header)
        return (yield from _read(context, order_id))

    @operation
    def redraw(self, order_id: int) -> Steps[ComputeOrder]:
        """Ask for another operator when the drawn one is silent or gone."""
        return (yield from _act(self._context, "redraw", order_id))

    @operation
    def expire(self, order_id: int) -> Steps[ComputeOrder]:
        """End an order that was not accepted or completed in time. Anyone may."""
        return (yield from _act(self._context, "expire", order_id))

    @operation
    def set_executor(self, dataset: DatasetLike, executor: str) -> Steps[Receipt]:
        """Name who may run orders on a data set beside its owner."""
        raw = yield from resolve_dataset(self._context, dataset)
        who = yield from self._context.account(executor)
        return (yield from transact(self._context, CONTRACT, "setExecutor", raw, who))

    @operation
    def attest(self, order_id: int, result: str | bytes, used_units: int) -> Steps[bytes]:
        """Sign, as the drawn operator, what a computation used. Sends nothing: the provider hands it in."""
        context = self._context
        document = yield from _usage(context, order_id, cids.to_bytes(result), used_units)
        return (yield from context.require_signer().sign_typed(document))

    @operation
    def complete(
        self, order_id: int, result: str | bytes, used_units: int, attestation: str | bytes
    ) -> Steps[ComputeOrder]:
        """Hand in a result with the operator's signature: units are consumed, everybody is paid."""
        signature = _signature(attestation)
        arguments = (order_id, cids.to_bytes(result), used_units, signature)
        yield from transact(self._context, CONTRACT, "complete", *arguments)
        return (yield from _read(self._context, order_id))

    @operation
    def get(self, order_id: int) -> Steps[ComputeOrder]:
        """One order. Raises errors.UnknownOrder."""
        return (yield from _read(self._context, order_id))


def _act(context: Context, function: str, order_id: int) -> Steps[ComputeOrder]:
    yield from transact(context, CONTRACT, function, order_id)
    return (yield from _read(context, order_id))


def _signature(value: str | bytes) -> bytes:
    try:
        raw = value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        raw = b""
    if not raw:
        raise InvalidInput(f"attestation: got {value!r}, expected a signature of {SIGNATURE_BYTES} bytes in hex")
    return raw


def _usage(context: Context, order_id: int, result: bytes, units: int) -> Steps[dict[str, Any]]:
    """EIP-712 data of an attestation: see IComputeMarket.attestationDigest."""
    chain_id = yield from context.chain_id()
    contract = yield from context.address_of(CONTRACT)
    domain = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
    usage = (("orderId", "uint256"), ("resultCid", "bytes"), ("usedUnits", "uint64"))
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
            "Usage": [{"name": name, "type": kind} for name, kind in usage],
        },
        "primaryType": "Usage",
        "domain": {
            "name": "dmchain ComputeMarket",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": contract,
        },
        "message": {"orderId": order_id, "resultCid": "0x" + result.hex(), "usedUnits": units},
    }


def _read(context: Context, order_id: int) -> Steps[ComputeOrder]:
    (struct,) = yield from context.read_all([call(CONTRACT, "orderOf", order_id)])
    return build(ComputeOrder, struct, order_id=order_id)
