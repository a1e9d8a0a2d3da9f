// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// What check_layout is tried on: the first version, and one version for each way to break or keep its storage.
abstract contract Types {
    enum Kind {
        None,
        Some
    }

    struct Offer {
        address token;
        uint96 price;
        Kind kind;
    }

    struct Inline {
        uint128 low;
    }
}

contract First is Types {
    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract Same is Types {
    uint64 internal _count;
    address internal _holder; // another name is no other place
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract Appended is First {
    uint256 internal _more;
    mapping(address who => bool) internal _known;
}

contract AppendedInsideMapping {
    enum Kind {
        None,
        Some,
        Third
    }

    struct Offer {
        address token;
        uint96 price;
        Kind kind;
        uint256 period;
    }

    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Types2.Inline internal _inline;
    uint256[] internal _list;
}

abstract contract Types2 {
    struct Inline {
        uint128 low;
    }
}

contract Swapped is Types {
    uint64 internal _count;
    address internal _owner;
    Inline internal _inline;
    mapping(bytes32 id => Offer) internal _offers;
    uint256[] internal _list;
}

contract SwappedAlike {
    struct Offer {
        address token;
        uint96 price;
        Types.Kind kind;
    }

    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Types.Inline internal _inline;
    uint256[] internal _list;
    uint256 internal _a;
    uint256 internal _b;
}

contract SwappedAlikeAfter {
    struct Offer {
        address token;
        uint96 price;
        Types.Kind kind;
    }

    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Types.Inline internal _inline;
    uint256[] internal _list;
    uint256 internal _b;
    uint256 internal _a;
}

contract Retyped is Types {
    uint64 internal _count;
    uint160 internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract Inserted is Types {
    uint64 internal _count;
    uint32 internal _new;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract Removed is Types {
    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
}

contract Widened {
    struct Offer {
        address token;
        uint256 price;
        Types.Kind kind;
    }

    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Types.Inline internal _inline;
    uint256[] internal _list;
}

contract Rekeyed is Types {
    uint64 internal _count;
    address internal _owner;
    mapping(address id => Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract InlineGrown {
    struct Inline {
        uint128 low;
        uint256 high;
    }

    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Types.Offer) internal _offers;
    Inline internal _inline;
    uint256[] internal _list;
}

contract Elements is Types {
    uint64 internal _count;
    address internal _owner;
    mapping(bytes32 id => Offer) internal _offers;
    Inline internal _inline;
    uint128[] internal _list;
}
