/** The exit code of one run. A command sets it when it ends without an error and still has something to say by it. */
export class ExitCode {
  code = 0;
  /** What an error exits with; `state -l` keeps 0 to 4 for states. */
  onError = 1;
}
