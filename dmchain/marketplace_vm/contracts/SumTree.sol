// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Weighted choice among leaves
/// @notice A Fenwick tree (P. Fenwick, "A new data structure for cumulative frequency tables", 1994): node i (from 1 on)
/// holds the sum of the leaves in (i - lowbit(i), i]. Appending, changing and finding a leaf touch at most
/// log2(size) + 1 nodes. Leaves are numbered from 0.
library SumTree {
    struct Tree {
        mapping(uint256 node => uint256) sums;
        uint256 size;
        uint256 total;
    }

    /// @notice Add a leaf of weight 0.
    function append(Tree storage self) internal returns (uint256 leaf) {
        leaf = self.size;
        uint256 node = leaf + 1;
        self.size = node;
        // The new node covers the leaves of these nodes and its own.
        uint256 sum;
        uint256 first = node - _lowestBit(node);
        for (uint256 i = leaf; i > first; i -= _lowestBit(i)) {
            sum += self.sums[i];
        }
        if (sum != 0) self.sums[node] = sum;
    }

    /// @notice Change a leaf's weight, of which the caller keeps the record.
    function update(Tree storage self, uint256 leaf, uint256 from, uint256 to) internal {
        uint256 size = self.size;
        for (uint256 i = leaf + 1; i <= size; i += _lowestBit(i)) {
            self.sums[i] = self.sums[i] + to - from;
        }
        self.total = self.total + to - from;
    }

    /// @notice The leaf in which `point` falls when the weights are laid end to end.
    /// @param point less than the total
    function find(Tree storage self, uint256 point) internal view returns (uint256 leaf) {
        uint256 size = self.size;
        for (uint256 step = 1 << Math.log2(size); step != 0; step >>= 1) {
            uint256 next = leaf + step;
            if (next > size) continue;
            uint256 sum = self.sums[next];
            if (sum <= point) {
                point -= sum;
                leaf = next;
            }
        }
    }

    function _lowestBit(uint256 i) private pure returns (uint256) {
        // i is never 0 here, so this cannot wrap around twice.
        unchecked {
            return i & (~i + 1);
        }
    }
}
