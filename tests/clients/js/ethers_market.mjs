// The market with ethers.
import { Contract, ContractFactory, JsonRpcProvider, Wallet, ZeroHash, keccak256 } from 'ethers'
import { run } from './support.mjs'

async function revertOf(promise) {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return { name: error.revert?.name, args: error.revert && [...error.revert.args] }
  }
}

run(async (args) => {
  const provider = new JsonRpcProvider(args.rpc, undefined, { cacheTimeout: -1, pollingInterval: 25 })
  const wallet = new Wallet(args.privateKey, provider)
  const registry = new Contract(args.registry.address, args.registry.abi, wallet)
  const ledger = new Contract(args.ledger.address, args.ledger.abi, wallet)
  const caller = await (await new ContractFactory(args.caller.abi, args.caller.bytecode, wallet).deploy()).waitForDeployment()
  const id = keccak256(args.cid)
  const receipt = await (await registry.registerCid(args.cid, '0x', [], 5n)).wait()
  const events = receipt.logs.map((log) => registry.interface.parseLog(log).name)
  const again = await revertOf(registry.registerCid.staticCall(args.cid, '0x', [], 5n))
  await (await registry.setController(id, await caller.getAddress())).wait()
  const refused = await revertOf(ledger.grant.staticCall(id, args.licensee, 1, 0n, 0n, ZeroHash))
  const before = await ledger.hasLicense(id, args.licensee)
  await (await caller.grant(id, args.licensee, 0n)).wait()
  return {
    id,
    events,
    again,
    refused,
    before,
    caller: await caller.getAddress(),
    controller: await registry.controllerOf(id),
    owner: (await registry.dataset(id)).owner,
    fromAccount: await ledger.hasLicense(id, args.licensee),
    fromContract: await caller.check(id, args.licensee),
    granted: (await ledger.queryFilter(ledger.filters.LicenseGranted(id))).map((log) => log.args.licensee),
  }
})
