// `ReadableStream` with its default reader. Byte readers, `pipeTo`, `pipeThrough` and the writable side
// are absent.

export class ReadableStream {
  #queue = []
  #waiting = []
  #state = 'readable'
  #error
  #source
  #pulling = false
  #sizeMax
  #started
  #reader

  constructor(source = {}, { highWaterMark = 1 } = {}) {
    this.#source = source
    this.#sizeMax = highWaterMark
    const controller = this.#controller()
    this.#controllerOfSource = controller
    this.#started = Promise.resolve(source.start?.(controller))
    this.#started.then(
      () => this.#pull(),
      (error) => this.#fail(error),
    )
  }

  #controllerOfSource

  /** A stream of what `iterable`, plain or async, yields. It is asked only when the stream is read. */
  static from(iterable) {
    const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]()
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await iterator.next()
          if (done) controller.close()
          else controller.enqueue(await value)
        },
        cancel: (reason) => iterator.return?.(reason),
      },
      { highWaterMark: 0 },
    )
  }

  get locked() {
    return this.#reader !== undefined
  }

  getReader() {
    if (this.locked) throw new TypeError('the stream is locked to a reader')
    const closed = Promise.withResolvers()
    closed.promise.catch(() => {})
    const reader = {
      closed: closed.promise,
      read: () => {
        if (this.#reader !== reader) return Promise.reject(new TypeError('the reader was released'))
        return this.#read()
      },
      cancel: (reason) => this.#cancel(reason),
      releaseLock: () => {
        if (this.#reader === reader) this.#reader = undefined
      },
    }
    this.#reader = reader
    this.#closed = closed
    if (this.#state === 'closed') closed.resolve()
    if (this.#state === 'errored') closed.reject(this.#error)
    return reader
  }

  #closed

  cancel(reason) {
    if (this.locked) return Promise.reject(new TypeError('the stream is locked to a reader'))
    return this.#cancel(reason)
  }

  /** Two streams that each yield everything. What one has read and the other not is kept in memory. */
  tee() {
    const reader = this.getReader()
    const branches = []
    let reading
    const pull = async () => {
      reading ??= reader.read()
      const { done, value } = await reading
      reading = undefined
      for (const branch of branches) {
        if (done) branch.close()
        else branch.enqueue(value)
      }
    }
    const branch = () =>
      new ReadableStream(
        {
          start: (controller) => void branches.push(controller),
          pull: () => (reading === undefined ? pull() : reading.then(() => {})),
        },
        { highWaterMark: 0 },
      )
    return [branch(), branch()]
  }

  async *values({ preventCancel = false } = {}) {
    const reader = this.getReader()
    let ended = false
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        yield value
      }
      ended = true
    } catch (error) {
      ended = this.#state === 'errored'
      throw error
    } finally {
      if (!ended && !preventCancel) await reader.cancel()
      reader.releaseLock()
    }
  }

  [Symbol.asyncIterator](options) {
    return this.values(options)
  }

  get [Symbol.toStringTag]() {
    return 'ReadableStream'
  }

  #controller() {
    const stream = this
    return {
      get desiredSize() {
        if (stream.#state === 'errored') return null
        return stream.#state === 'closed' ? 0 : stream.#sizeMax - stream.#queue.length
      },
      enqueue: (chunk) => {
        if (this.#state !== 'readable') throw new TypeError('the stream is closed')
        const waiting = this.#waiting.shift()
        if (waiting === undefined) this.#queue.push(chunk)
        else waiting.resolve({ done: false, value: chunk })
      },
      close: () => {
        if (this.#state !== 'readable') throw new TypeError('the stream is closed')
        this.#close()
      },
      error: (error) => this.#fail(error),
    }
  }

  #read() {
    if (this.#queue.length > 0) {
      const value = this.#queue.shift()
      this.#pull()
      return Promise.resolve({ done: false, value })
    }
    if (this.#state === 'errored') return Promise.reject(this.#error)
    if (this.#state === 'closed') return Promise.resolve({ done: true, value: undefined })
    const waiting = Promise.withResolvers()
    this.#waiting.push(waiting)
    this.#pull()
    return waiting.promise
  }

  async #pull() {
    if (this.#pulling || this.#source.pull === undefined) return
    this.#pulling = true
    try {
      await this.#started
      while (this.#state === 'readable' && (this.#waiting.length > 0 || this.#queue.length < this.#sizeMax)) {
        await this.#source.pull(this.#controllerOfSource)
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#pulling = false
    }
  }

  // A closed stream still hands out what is queued.
  #close() {
    this.#state = 'closed'
    for (const waiting of this.#waiting.splice(0)) waiting.resolve({ done: true, value: undefined })
    this.#closed?.resolve()
  }

  #fail(error) {
    if (this.#state !== 'readable') return
    this.#state = 'errored'
    this.#error = error
    this.#queue.length = 0
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
    this.#closed?.reject(error)
  }

  async #cancel(reason) {
    if (this.#state !== 'readable') return
    this.#queue.length = 0
    this.#close()
    await this.#source.cancel?.(reason)
  }
}
