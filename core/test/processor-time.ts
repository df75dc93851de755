/** Time that this process has used of the processor, in milliseconds: other programs of a busy machine do not count. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
