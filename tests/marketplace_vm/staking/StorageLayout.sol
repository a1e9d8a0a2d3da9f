// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// The storage of the staking contract, written down for solc: test_layout.py compares. Never deployed.

contract StakingLayout {
    struct Validator {
        address consensus;
        uint16 commissionBps;
        uint16 maxCommissionChangeBps;
        uint40 commissionChangedAt;
        uint16 seat;
        uint8 status;
        uint96 tokens;
        uint160 shares;
        uint256 accumulator;
        uint96 rewards;
        uint96 commission;
        uint64 epoch;
        uint160 earning;
        uint96 left;
        uint40 jailedUntil;
        uint40 memberEpoch;
        uint40 windowTime;
        uint64 windowHeight;
        uint40 missed;
        Tombstone tombstone;
        bytes32[2] publicKey;
        bytes32 randaoAnchor;
        bytes32 nextRandaoAnchor;
        uint48 randaoLeft;
        uint48 nextRandaoLength;
        uint64 nextRandaoEpoch;
    }

    struct Tombstone {
        uint64 fraction;
        uint64 sinceBlock;
        uint64 processedBlock;
        uint64 height;
    }

    struct Delegation {
        uint160 shares;
        uint96 accrued;
        uint256 checkpoint;
        Pending pending;
        address source;
        uint48 sinceBlock;
        uint48 completesAt;
        uint160 moved;
    }

    struct Pending {
        uint160 shares;
        uint64 epoch;
    }

    struct Queue {
        uint64 head;
        uint64 tail;
        mapping(uint256 index => Unbonding) entries;
    }

    struct Unbonding {
        address validator;
        uint96 amount;
        uint64 leftInBlock;
        uint64 completesAt;
        uint64 originBlock;
        bool slashed;
        address origin;
        uint96 originAmount;
    }

    struct Epoch {
        uint64 number;
        uint64 firstHeight;
        uint64 startTime;
        uint16 size;
        bytes32 validatorsHash;
        uint64 priorityHeight;
        uint64 totalPower;
        mapping(uint256 index => Member) members;
    }

    struct Member {
        address consensus;
        uint64 power;
        Turn turn;
    }

    struct Turn {
        uint96 left;
        int96 priority;
    }

    struct Stake {
        uint96 bonded;
        uint96 unbonding;
    }

    struct Supply {
        uint128 minted;
        uint128 burned;
    }

    struct Timing {
        uint32 epochSeconds;
        uint32 unbondingSeconds;
        uint16 maxValidators;
        uint16 maxCandidates;
        uint32 windowCommits;
        uint32 windowSeconds;
        uint16 minimumSignedBps;
        uint32 jailSeconds;
        uint16 doubleSignBps;
        uint8 correlation;
        uint16 reporterBps;
        bool slashAmnesia;
    }

    struct Amounts {
        uint96 minimumSelfStake;
        uint96 blockReward;
    }

    Stake public stake;
    uint256 public rewards;
    Supply public supply;
    uint256 public epoch;
    Timing public timing;
    Amounts public amounts;
    address public disputeContract;
    uint32[13] public consensus;
    address[] public operators;
    address[] public seats;
    mapping(address operator => Validator) internal validators;
    mapping(address consensus => address) public operatorOf;
    mapping(address operator => mapping(address delegator => Delegation)) internal delegations;
    mapping(address account => Queue) internal queues;
    mapping(uint256 place => Epoch) internal epochs;
    mapping(address operator => mapping(uint256 epoch => uint256)) public maturedAt;
    uint256[] public offences;
}
