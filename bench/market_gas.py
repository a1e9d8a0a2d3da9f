"""Gas of every function of the market, from real executions: ``python bench/market_gas.py [--write | --check]``.

``--write`` renders docs/market/gas.md; ``--check`` fails when the file is not what would be written. Figures are what a
transaction pays on the node's own engine (intrinsic gas and calldata included, refunds subtracted). They depend on the
contracts alone, not on the machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.market_gas_scenes import Row, measure_market
from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Chain, load
from tests.contracts.genesis_world import make_cid

MOST = 64
"""Data sets that are asked about at once."""
TABLE = Path(__file__).parent.parent / "docs" / "market" / "gas.md"
ORDER = [
    "DataListing",
    "LicenseManager",
    "EscrowPayment",
    "PaymentStream",
    "ComputeMarket",
    "QualityOracle",
    "DisputeResolution",
    "ProviderStake",
    "Reputation",
    "Datatoken",
    "CurationRegistry",
    "DataGovernor",
    "PlatformToken",
    "TestUSD",
]
NOT_MEASURED = {
    "by other contracts or governance alone": """grantRole revokeRole renounceRole initialize purchaseFor reserveFor
        unreserveFor consumeFor grantFor endFor distribute distributeResale onRefund open releasePart refundPart topUp freeze
        resolve lock unlock slash recordSale recordDelivery recordDispute resolveEscrow relay setPlatformFee
        setTreasury setReferenceRate setSuspended setDisputeResolution setQualityOracle setReputation setParameters
        setUnstakeDelay setStandard setProposalThreshold setVotingDelay setVotingPeriod updateQuorumNumerator
        updateTimelock onERC721Received onERC1155Received onERC1155BatchReceived""",
    "as another that is measured": """withdraw withdrawFor withdrawTo stopVoid redraw settleEscrow cancelUnstake sync multicall
        releaseOperator requestLeave withdrawStake castVoteWithReason castVoteBySig castVoteWithReasonAndParams
        castVoteWithReasonAndParamsBySig cancel delegateBySig""",
    "as OpenZeppelin's": "approve setApprovalForAll safeTransferFrom safeBatchTransferFrom transferFrom transfer permit",
}
"""Functions without a row, and why."""
HEAD = """# Gas of the market

What a transaction costs, intrinsic gas and calldata included, refunds subtracted, as the node's own engine executes it
on the market of a devnet's genesis. `python bench/market_gas.py --write` renders this page, `--check` compares it; the
figures depend on the contracts alone. What a function costs differs by what is in storage already: writing a slot for
the first time costs 20,000 gas, changing it 2,900.
"""
LICENSES = """## The same licence check, native and in Solidity

`SolidityLedger` (tests/contracts/sol) keeps the facts of the native LicenseLedger in mappings, packed as tightly as
Solidity packs; a test holds both to the same answers. Gas as a calling contract measures it around the call, so what an
integrator pays for its gate.

| question | native | in Solidity | times |
|---|---:|---:|---:|
"""


def measure_checks() -> list[tuple[str, int, int]]:
    """(question, native gas, gas in Solidity)."""
    chain = Chain()
    solidity, gate, licensee = chain.deploy("SolidityLedger"), chain.deploy("LicenseGate"), chain.accounts[3]
    datasets = []
    grants = []
    for number in range(MOST):
        cid = make_cid(f"data set {number}")
        chain.registry.registerCid(cid, b"", [], 1)
        datasets.append(keccak(cid))
        solidity.register(datasets[-1])
        grants.append([each.grant(datasets[-1], licensee, 1, 0, 0, bytes(32)) for each in (chain.ledger, solidity)])
    both = [chain.ledger, solidity]
    single = [gate.measure(each, datasets[0], licensee) for each in both]
    assert all(each.answer for each in single)
    rows = [
        ("`hasLicense`, first in a transaction", *[each.cold for each in single]),
        ("`hasLicense`, once more", *[each.warm for each in single]),
    ]
    for count in (16, MOST):
        many: Any = [gate.measureMany(each, datasets[:count], licensee) for each in both]
        assert many[0].bitmap == many[1].bitmap == 2**count - 1
        rows.append((f"`hasLicenses` of {count} data sets", *[each.cold for each in many]))
    rows.append(("`grant`, a transaction", *[each.gas_used for each in grants[-1]]))
    return [(name, native, other) for name, native, other in rows]


def find_forgotten(rows: list[Row]) -> list[str]:
    """Functions that change state, have no row and no reason not to."""
    measured = {(contract, function) for contract, function, _, _ in rows}
    excused = {name for names in NOT_MEASURED.values() for name in names.split()}
    forgotten = []
    for contract in ORDER:
        for item in load(contract).abi:
            if item["type"] != "function" or item["stateMutability"] in ("view", "pure"):
                continue
            if (contract, item["name"]) not in measured and item["name"] not in excused:
                forgotten.append(f"{contract}.{item['name']}")
    return forgotten


def render(rows: list[Row], checks: list[tuple[str, int, int]]) -> str:
    parts = [HEAD, LICENSES.rstrip()]
    parts += [f"| {name} | {native:,} | {other:,} | {other / native:.2f} |" for name, native, other in checks]
    for contract in ORDER:
        parts += ["", f"## {contract}", "", "| function | case | gas |", "|---|---|---:|"]
        parts += [f"| `{function}` | {note} | {gas:,} |" for of, function, note, gas in rows if of == contract]
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="render docs/market/gas.md")
    parser.add_argument("--check", action="store_true", help="fail when docs/market/gas.md is out of date")
    options = parser.parse_args()
    rows = measure_market()
    if forgotten := find_forgotten(rows):
        print(f"no row for {', '.join(forgotten)}", file=sys.stderr)
        return 1
    text = render(rows, measure_checks())
    if options.write:
        TABLE.write_text(text)
    elif options.check:
        if TABLE.read_text() != text:
            print("docs/market/gas.md is out of date: python bench/market_gas.py --write", file=sys.stderr)
            return 1
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
