// OpenZeppelin tokens with ethers: deploy, transfer, query and watch events, decode errors, estimate.
import { ContractFactory, JsonRpcProvider, Wallet, ZeroAddress } from 'ethers'
import { Collector, run } from './support.mjs'

// Only a static call decodes custom errors by itself; the data of the others is decoded with the interface.
async function failure(promise, contract) {
  try {
    await promise
    return 'no failure'
  } catch (error) {
    if (error.code !== 'CALL_EXCEPTION') throw error
    const revert = error.revert ?? (contract && error.data ? contract.interface.parseError(error.data) : null)
    return { name: revert?.name ?? null, args: revert ? [...revert.args] : null, reason: error.reason }
  }
}

run(async (args) => {
  const provider = new JsonRpcProvider(args.rpc, undefined, { cacheTimeout: -1, pollingInterval: 25 })
  const wallet = new Wallet(args.privateKey, provider)
  const deploy = async (built, ...rest) => {
    const contract = await new ContractFactory(built.abi, built.bytecode, wallet).deploy(...rest)
    return contract.waitForDeployment()
  }
  const [coin, card, probe] = [await deploy(args.coin, 1000n), await deploy(args.card), await deploy(args.probe)]

  const watched = new Collector('Transfer events')
  await coin.on(coin.filters.Transfer(null, args.recipient), ({ args: [from, to, value] }) => watched.push({ from, to, value }))
  const transfer = await (await coin.transfer(args.recipient, 7n)).wait()
  await watched.until((items) => items.length === 1)
  await coin.removeAllListeners()

  await (await card.mint(wallet.address, 5n)).wait()
  const mints = await card.queryFilter(card.filters.Transfer(ZeroAddress))
  const block = await provider.getBlock(transfer.blockNumber, true)
  const many = await Promise.all(Array.from({ length: 30 }, (_, i) => coin.balanceOf(i % 2 ? args.recipient : wallet.address)))

  return {
    account: wallet.address,
    watched: watched.items,
    transferStatus: transfer.status,
    gasUsed: transfer.gasUsed,
    estimate: await coin.transfer.estimateGas(args.recipient, 7n),
    mints: mints.map((log) => [...log.args]),
    owner: await card.ownerOf(5n),
    balances: [...new Set(many)].map(String),
    blockHasTransfer: block.prefetchedTransactions.some((t) => t.hash === transfer.hash),
    errors: {
      missingCard: await failure(card.ownerOf(6n)),
      call: await failure(probe.put.staticCall(1n, 101n, 'x')),
      estimate: await failure(probe.put.estimateGas(1n, 101n, 'x'), probe),
      send: await failure(probe.put(1n, 101n, 'x'), probe),
      mined: await failure(probe.put(1n, 101n, 'x', { gasLimit: 100000n }).then((sent) => sent.wait())),
      text: await failure(probe.failWithText()),
      panic: await failure(probe.failWithPanic(0n)),
    },
    feeData: (await provider.getFeeData()).toJSON(),
  }
})
