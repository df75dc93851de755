# The processes of this module's database cluster. Read by the other scripts.
#
# postmaster.pid in the data directory is replicated with it, so the number in it may come from the other node and belong to any program
# here. Who runs is therefore looked up in /proc: the server has the data directory on its command line, every process of the cluster has it
# as its working directory. Other PostgreSQL clusters on the node are not touched.

socket_folder="/run/$SAFEMODULE"
server_log="$SAFEUSERVAR/postgresql.log"

as_postgres() {
  setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
}

# Numbers of all processes called postgres.
postgres_processes() {
  for file in $(grep -lx postgres /proc/[0-9]*/comm 2>/dev/null); do
    file=${file%/comm}
    echo "${file#/proc/}"
  done
}

# Number of the server (the postmaster) of this cluster; fails when it does not run.
server_process() {
  for number in $(postgres_processes); do
    arguments=$(tr '\000' '\n' 2>/dev/null <"/proc/$number/cmdline") || continue
    case "$arguments" in
      *"
-D
$PG_DATA
"*) echo "$number"; return 0 ;;
    esac
  done
  return 1
}

# Numbers of all processes of this cluster, the server and its children, also those that outlived the server.
cluster_processes() {
  for number in $(postgres_processes); do
    case "$(readlink "/proc/$number/cwd")" in
      "$PG_DATA" | "$PG_DATA/"* | "$PG_DATA (deleted)") echo "$number" ;;
    esac
  done
  server_process || :
}

# Waits at most $1 seconds until no process of the cluster is left.
wait_for_end() {
  tries=$(($1 * 10))
  while [ -n "$(cluster_processes)" ]; do
    [ "$tries" -gt 0 ] || return 1
    tries=$((tries - 1))
    sleep 0.1
  done
}
