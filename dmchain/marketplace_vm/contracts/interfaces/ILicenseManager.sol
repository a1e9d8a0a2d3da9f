// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseBooks} from "./ILicenseBooks.sol";
import {ILicenseSales} from "./ILicenseSales.sol";
import {IPullPayments} from "./IPullPayments.sol";

/// @title Sale of licences
/// @notice Offers, purchases and the division of what is earned. The LicenseManager is the controller of every listed
/// data set in the CidRegistry, so it is who grants licences in the LicenseLedger.
///
/// **Offers** never change: an owner closes one and makes another. They sell while the data set is listed, in the
/// listing they were made under, and pass to the new owner with the data set. Who made it does not matter: the owner of
/// the moment is paid.
///
/// **Terms.** Licences live in terms: one unbroken stretch of a licence with one payer, named by the purchase that
/// began it. A renewal by the same payer adds to the term. An account has at most one licence of a data set, so at most
/// one term that is current.
///
/// **Money.** What is earned at once is divided at once: platform fee to the treasury, shares of ancestor data sets to
/// their owners, the rest to the data set's owner, each as a balance to withdraw. Nothing is ever pushed to a user.
/// What is not earned yet (a purchase with an escrow period, periods that have not begun, units not consumed) lies in
/// EscrowPayment. So `held(token)` is the sum of all `owed`, and the balance.
///
/// Token 0 is the native coin, amounts are in the token's smallest unit, times are seconds since the Unix epoch, shares
/// in hundredths of a percent (bps).
///
/// Types are in {ILicenseTypes}, functions in {ILicenseBooks}, {ILicenseSales} and {IPullPayments}.
interface ILicenseManager is IPullPayments, ILicenseBooks, ILicenseSales {}
