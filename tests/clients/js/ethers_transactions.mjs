// One transaction of each type with ethers; it signs EIP-7702 authorizations since 6.14.
import { ContractFactory, JsonRpcProvider, Wallet, parseUnits } from 'ethers'
import { run } from './support.mjs'

run(async (args) => {
  const provider = new JsonRpcProvider(args.rpc, undefined, { cacheTimeout: -1, pollingInterval: 25 })
  const wallet = new Wallet(args.privateKey, provider)
  const factory = new ContractFactory(args.probe.abi, args.probe.bytecode, wallet)
  const probe = await (await factory.deploy()).waitForDeployment()
  const target = await probe.getAddress()
  const to = args.recipient
  const requests = {
    legacy: { type: 0, to, value: 1n },
    eip2930: { type: 1, to, value: 1n, accessList: [{ address: target, storageKeys: ['0x' + '00'.repeat(32)] }] },
    eip1559: { to, value: 1n },
    explicit: { type: 2, to, value: 1n, gasLimit: 21000n, maxFeePerGas: parseUnits('10', 'gwei'), maxPriorityFeePerGas: 1n },
  }
  const result = {}
  for (const [name, request] of Object.entries(requests)) {
    const sent = await wallet.sendTransaction(request)
    const receipt = await sent.wait()
    const mined = await provider.getTransaction(sent.hash)
    result[name] = { receipt: receipt.toJSON(), transaction: mined.toJSON(), sentHash: sent.hash }
  }
  const nonce = await wallet.getNonce()
  const authorization = await wallet.authorize({ address: target, nonce: nonce + 1 })
  const sent = await wallet.sendTransaction({ type: 4, to: wallet.address, authorizationList: [authorization] })
  const receipt = await sent.wait()
  result.eip7702 = {
    receipt: receipt.toJSON(),
    transaction: (await provider.getTransaction(sent.hash)).toJSON(),
    code: await provider.getCode(wallet.address),
    self: await probe.attach(wallet.address).self(),
    probe: target,
    account: wallet.address,
  }
  return result
})
