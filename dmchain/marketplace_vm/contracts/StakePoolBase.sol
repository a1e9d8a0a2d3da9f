// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IStakePoolTypes} from "./interfaces/IStakePoolTypes.sol";
import {SumTree} from "./SumTree.sol";

/// @title Stakes, draws and money of a contract with panels
/// @notice State and inner workings of {StakePool}. Every wei is in one of three sums: stakes of members, money of cases
/// (deposits, fees, pots), and what is owed to accounts. Money moves between them by the functions below alone.
abstract contract StakePoolBase is IStakePoolTypes, AccessControl, ReentrancyGuardTransient {
    using SumTree for SumTree.Tree;
    using SafeCast for uint256;

    uint256 internal constant BPS = 10_000;
    /// @dev Blocks from the announcement of a draw to the one that decides it: the randomness of the second block after
    /// is not known to whoever builds the block of the announcement.
    uint256 internal constant DRAW_DELAY = 2;
    /// @dev Members that may turn out not to be eligible in one draw. Bounds its gas.
    uint256 private constant MAX_SKIPPED = 32;
    uint256 private constant MAX_LEAVES = 1 << 24;

    SumTree.Tree internal _tree;
    mapping(address account => Member) internal _members;
    /// @dev Account of each leaf of the tree, zero for a free one.
    address[] internal _leaves;
    uint32[] internal _freeLeaves;
    mapping(address account => uint256) internal _owed;
    uint128 internal _totalStake;
    uint128 internal _totalOwed;
    uint128 internal _caseFunds;
    uint32 internal _pendingDraws;
    address internal _treasury;

    // ---------------------------------------------------------------- for the contract with the cases

    function _leaveDelay() internal view virtual returns (uint64);

    function _minimumStake() internal view virtual returns (uint128);

    /// @dev Whether the account may sit on the panel of a case, its stake aside.
    function _mayServe(uint256 id, address account) internal view virtual returns (bool);

    /// @dev Nothing is written to the tree from now until the draw.
    function _announceDraw() internal returns (uint64 drawBlock) {
        ++_pendingDraws;
        drawBlock = _nextDrawBlock();
    }

    /// @dev One block decides a draw, whoever makes it and when: prevRandao is read out of that block's header, so nobody
    /// can wait for a block that suits them.
    function _nextDrawBlock() internal view returns (uint64) {
        return uint64(block.number + DRAW_DELAY);
    }

    /// @dev prevRandao of a block, if the chain still knows its hash.
    /// @param header of the block, RLP
    function _randaoOf(uint64 drawBlock, bytes calldata header) internal view returns (bool isKnown, uint256 randao) {
        if (block.number <= drawBlock) revert TooEarlyToDraw(uint64(block.number), drawBlock + 1);
        bytes32 expected = Blockhash.blockHash(drawBlock);
        if (expected == 0) return (false, 0);
        bytes32 got = keccak256(header);
        if (got != expected) revert WrongHeader(drawBlock, got, expected);
        return (true, uint256(BlockHeader.getPrevRandao(header)));
    }

    /// @dev Make an announced draw: choose `seats` members by weight and lock `lockEach` of stake for every seat. Who may
    /// not serve or has not enough free stake is passed over.
    /// @param isDistinct whether a member gets one seat at most
    /// @return drawn one account for each seat; fewer than `seats` when not more were found
    function _draw(uint256 randao, uint256 id, uint256 seats, uint256 lockEach, bool isDistinct)
        internal
        returns (address[] memory drawn)
    {
        --_pendingDraws;
        drawn = new address[](seats);
        uint256[] memory removed = new uint256[](seats + MAX_SKIPPED);
        uint256 removedCount;
        uint256 found;
        // Each pass seats a member or removes one, so this ends.
        for (uint256 n; found < seats && _tree.total != 0 && removedCount < removed.length; ++n) {
            uint256 random = uint256(keccak256(abi.encode(randao, address(this), id, n)));
            uint256 leaf = _tree.find(random % _tree.total);
            address account = _leaves[leaf];
            Member storage m = _members[account];
            bool isSeated = m.stake - m.locked >= lockEach && _mayServe(id, account);
            if (isSeated) {
                m.locked += uint128(lockEach);
                drawn[found++] = account;
            }
            if (!isSeated || isDistinct) {
                removed[removedCount++] = leaf;
                _tree.update(leaf, m.weight, 0);
            }
        }
        for (uint256 i; i < removedCount; ++i) {
            _tree.update(removed[i], 0, _members[_leaves[removed[i]]].weight);
        }
        // Solidity has no way to shorten an array in memory but this.
        assembly ("memory-safe") {
            mstore(drawn, found)
        }
    }

    function _unlock(address account, uint256 amount) internal {
        _members[account].locked -= uint128(amount);
    }

    /// @dev Turn locked stake into money of a case.
    function _slash(address account, uint256 id, uint256 amount) internal {
        if (amount == 0) return;
        Member storage m = _members[account];
        m.stake -= uint128(amount);
        _totalStake -= uint128(amount);
        _caseFunds += uint128(amount);
        emit StakeSlashed(account, id, amount);
        _sync(account);
    }

    /// @dev Native coin that came in for a case.
    function _fund(uint256 amount) internal {
        _caseFunds += amount.toUint128();
    }

    /// @dev Native coin of a case that is about to be sent away.
    function _spend(uint256 amount) internal {
        _caseFunds -= amount.toUint128();
    }

    /// @dev Owe money of a case to an account.
    function _credit(address account, uint256 amount) internal {
        if (amount == 0) return;
        _caseFunds -= uint128(amount);
        _totalOwed += uint128(amount);
        _owed[account] += amount;
        emit Credited(account, amount);
    }

    // ---------------------------------------------------------------- tree

    function _targetWeight(Member storage m) internal view returns (uint128) {
        return m.leavesAt != 0 || m.stake < _minimumStake() ? 0 : m.stake;
    }

    function _sync(address account) internal {
        if (_pendingDraws != 0) return;
        Member storage m = _members[account];
        uint128 weight = _targetWeight(m);
        if (weight == m.weight) return;
        _tree.update(m.leaf - 1, m.weight, weight);
        m.weight = weight;
        emit WeightChanged(account, weight);
    }

    /// @return leaf its number plus one
    function _takeLeaf(address account) internal returns (uint32 leaf) {
        if (_freeLeaves.length != 0) {
            leaf = _freeLeaves[_freeLeaves.length - 1];
            _freeLeaves.pop();
            _leaves[leaf - 1] = account;
        } else {
            if (_leaves.length == MAX_LEAVES) revert PoolFull(MAX_LEAVES);
            _leaves.push(account);
            leaf = uint32(_tree.append() + 1);
        }
    }

    function _setTreasury(address treasury_) internal {
        if (treasury_ == address(0)) revert InvalidAddress(treasury_);
        _treasury = treasury_;
        emit TreasuryChanged(treasury_);
    }
}
