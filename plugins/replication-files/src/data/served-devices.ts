/** The devices of a primary's mounts, and when they are served: whenever requests wait, as long as there are buffers for them. */
import type { FuseDevice } from '../fuse/device.js';
import type { FileSystem } from '../primary/file-system.js';
import { EPOLLIN } from '../system/constants.js';
import type { EpollSet } from '../system/epoll.js';

export class ServedDevices {
  readonly #epoll: EpollSet;
  readonly #fileSystem: FileSystem;
  readonly #served: (device: FuseDevice, areMoreWaiting: boolean) => void;
  readonly #devices: FuseDevice[] = [];

  /** @param served requests of a device were answered, or are on their way */
  constructor(epoll: EpollSet, fileSystem: FileSystem, served: (device: FuseDevice, areMoreWaiting: boolean) => void) {
    this.#epoll = epoll;
    this.#fileSystem = fileSystem;
    this.#served = served;
    fileSystem.onBufferFree = () => {
      for (const device of this.#devices) epoll.change(device.fd, EPOLLIN);
    };
  }

  add(device: FuseDevice): void {
    this.#devices.push(device);
    this.#epoll.add(device.fd, EPOLLIN, () => {
      this.#serve(device);
    });
  }

  /** @returns true: no request waits on any */
  serveAll(): boolean {
    return [...this.#devices].map((device) => this.#serve(device)).every((isEmpty) => isEmpty);
  }

  #serve(device: FuseDevice): boolean {
    const outcome = this.#fileSystem.serve(device);
    this.#served(device, outcome === 'more' || outcome === 'full');
    if (outcome === 'full') for (const each of this.#devices) this.#epoll.change(each.fd, 0);
    else if (outcome === 'ended') this.#drop(device);
    return outcome === 'empty' || outcome === 'ended';
  }

  #drop(device: FuseDevice): void {
    this.#epoll.remove(device.fd);
    device.close();
    this.#devices.splice(this.#devices.indexOf(device), 1);
  }

  /** Nothing more is served; what is on its way can be answered until `close`. */
  end(): void {
    for (const device of this.#devices) this.#epoll.remove(device.fd);
  }

  close(): void {
    for (const device of this.#devices.splice(0)) device.close();
  }
}
