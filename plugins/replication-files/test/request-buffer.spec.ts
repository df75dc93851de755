import assert from 'node:assert/strict';
import koffi from 'koffi';
import { RequestBuffer } from '../src/fuse/device.js';

const mincore = koffi.load('libc.so.6').func('int mincore(uintptr_t, size_t, _Out_ uint8_t *)') as (
  address: bigint,
  length: number,
  pages: Buffer,
) => number;
const PAGE_BYTES = 4096;

describe('the buffer of a request', () => {
  it('is in memory as a whole before the kernel fills it: a replicator that is killed then leaves the request to its successor', () => {
    const { bytes } = new RequestBuffer();
    const address = koffi.address(bytes);
    const first = (address / BigInt(PAGE_BYTES)) * BigInt(PAGE_BYTES);
    const pages = Math.ceil((Number(address - first) + bytes.length) / PAGE_BYTES);
    const isThere = Buffer.alloc(pages);
    assert.equal(mincore(first, pages * PAGE_BYTES, isThere), 0);
    assert.equal(isThere.filter((page) => (page & 1) === 0).length, 0, `of ${pages} pages`);
  });
});
