# One process of the module: where its number is written down, and whether that number still means the same process.
# Read by the other scripts; SAFEUSERVAR is the module's folder for such things.
#
# The file holds number, start time and boot: a number alone may belong to somebody else by now, after a reboot or after the numbers have
# gone round. A signal is only ever sent to a process that fits all three.

pid_file="$SAFEUSERVAR/hello.pid"

# Start time of process $1 in clock ticks since boot; fails when there is no such process or only its remains.
start_time() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  set -- ${stat##*) } # the name before the last parenthesis may contain anything; state is field 1 from here, start time field 20
  [ "$1" != Z ] || return 1
  echo "${20}"
}

boot_id() {
  cat /proc/sys/kernel/random/boot_id
}

# Writes down process $1, which may be the caller itself.
remember_process() {
  echo "$1 $(start_time "$1") $(boot_id)" >"$pid_file.new"
  mv "$pid_file.new" "$pid_file"
}

# Prints the number of the running process; fails when it does not run.
running_process() {
  read -r number started boot 2>/dev/null <"$pid_file" || return 1
  [ "$boot" = "$(boot_id)" ] || return 1
  [ "$started" = "$(start_time "$number")" ] || return 1
  echo "$number"
}

# Waits at most $1 seconds for the process to end.
wait_for_end() {
  tries=$(($1 * 20))
  while running_process >/dev/null; do
    [ "$tries" -gt 0 ] || return 1
    tries=$((tries - 1))
    sleep 0.05
  done
}
