/** Whether a path is on something read-only, from /proc/self/mountinfo: by the mount, or by its file system, as after an error. Pure. */

interface Mount {
  readonly point: string;
  readonly readOnly: boolean;
}

/** @param path without symbolic links */
export function isReadOnly(mountinfo: string, path: string): boolean {
  let nearest: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const mount = parseMount(line);
    if (mount === undefined || !contains(mount.point, path)) continue;
    // Of two mounts on one point the later hides the earlier.
    if (nearest === undefined || mount.point.length >= nearest.point.length) nearest = mount;
  }
  return nearest?.readOnly === true;
}

/** `id parent major:minor root point options … - type source superoptions` */
function parseMount(line: string): Mount | undefined {
  const [before = '', after = ''] = line.split(' - ');
  const [, , , , point, options] = before.split(' ');
  if (point === undefined || options === undefined) return undefined;
  const superOptions = after.split(' ')[2] ?? '';
  const readOnly = [options, superOptions].some((words) => words.split(',').includes('ro'));
  return { point: point.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))), readOnly };
}

function contains(point: string, path: string): boolean {
  return point === '/' || path === point || path.startsWith(`${point}/`);
}
