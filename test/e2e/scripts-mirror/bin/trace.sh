# Read by the other scripts: writes down who was called with what, and what the host is called.
echo "${0##*/} $* @$(uname -n)" >>"$SAFEUSERVAR/trace"
