/**
 * Entering namespaces from the host. Somebody has to stay outside and wait for the command inside: nsenter does that by itself, but it also
 * stops when the command is stopped, and would then stay behind, stopped, when its owner dies. So a shell waits instead. It hands on exit
 * code or signal, and the kernel kills it when its owner dies; the command itself dies with the lab.
 */

/**
 * `env`, because the shell must not take a word like `kill` for one of its own commands and run it outside. A signal is re-raised, so that
 * the owner sees SIGKILL and not exit code 137; the shell's own remark about it goes nowhere.
 */
const WAIT = 'exec 9>&2 2>/dev/null; env "$@" 2>&9 9>&-; status=$?; [ "$status" -le 128 ] || kill -$((status - 128)) $$; exit "$status"';

/** Arguments that run a command in namespaces of a process of the host; the command follows. */
export function enter(hostPid: number, namespaces: readonly string[]): string[] {
  const nsenter = ['nsenter', '--target', String(hostPid), ...namespaces, '--no-fork', '--'];
  return ['setpriv', '--pdeathsig', 'KILL', ...nsenter, 'sh', '-c', WAIT, 'wait'];
}
