"""Purchases that a StandInSales knows, as a LicenseManager would."""

from __future__ import annotations

from typing import Any

from tests.contracts.chain import ZERO, Contract

ONE_TIME = 1


def sell(
    sales: Contract,
    number: int,
    dataset: bytes,
    licensee: Any,
    *,
    provider: Any,
    payer: Any = None,
    amount: int = 0,
    escrow: int = 0,
    prepaid: int = 0,
) -> None:
    """Write down purchase `number`, made now; `payer` is the licensee unless named."""
    purchase = {
        "offerId": 1,
        "datasetId": dataset,
        "payer": payer or licensee,
        "boughtAt": sales.chain.timestamp,
        "licensee": licensee,
        "quantity": 1,
        "token": ZERO,
        "kind": ONE_TIME,
        "module": ZERO,
        "amount": amount,
        "termId": number,
        "escrowId": escrow,
        "prepaidId": prepaid,
        "provider": provider,
    }
    sales.setPurchase(number, purchase)
