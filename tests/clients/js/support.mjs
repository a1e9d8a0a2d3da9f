// Shared by the scripts: arguments as JSON on stdin, one JSON result on stdout, BigInt as decimal text.
import { text } from 'node:stream/consumers'

export async function run(main) {
  const args = JSON.parse(await text(process.stdin))
  try {
    const result = await main(args)
    const json = JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
    process.stdout.write(json, () => process.exit(0))
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
}

// Collects what is pushed until `enough(items)`; rejects after the deadline, naming what was awaited.
export class Collector {
  constructor(what, deadlineMs = 20000) {
    this.what = what
    this.deadlineMs = deadlineMs
    this.items = []
    this.wake = () => {}
  }

  push = (...items) => {
    this.items.push(...items)
    this.wake()
  }

  until(enough) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.what}: only ${this.items.length} within ${this.deadlineMs} ms`)),
        this.deadlineMs,
      )
      this.wake = () => {
        if (!enough(this.items)) return
        clearTimeout(timer)
        this.wake = () => {}
        resolve(this.items)
      }
      this.wake()
    })
  }
}
