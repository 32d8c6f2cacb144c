#!/bin/sh
# The container's entry point: docker-entrypoint.sh <command> [arguments]. It runs without a container as well.
set -eu

usage() {
  cat <<'TEXT'
Usage: docker-entrypoint.sh <command> [arguments]

  serve            run the HTTP server
  worker           run jobs
  migrate          create the database's tables or bring them up to date, and exit
  key              create, list, change and revoke API keys
  project          create, list, change and delete projects
  device           create, list and move devices
  audit            list and verify the audit log
  backup <file>    write the whole database to a file
  restore <file>   restore a backup into an empty database
  check            compare the index with the objects, and repair it
  load <path>...   send batch files to a running server
  export           write the objects of a running server that match to a file
  demo             create a project with devices and events, and print its keys
  createsuperuser  create an admin key of the first project, and print it
  shell            open a Node.js prompt with the services
TEXT
}

main="$(dirname "$0")/dist/apps/cli/main.js"
command=${1:-}
[ $# -eq 0 ] || shift

# exec: the server replaces the shell, so that it gets the container's signals.
case $command in
  serve | worker | migrate | key | project | device | audit | backup | restore | check | load | export | demo | shell)
    exec node "$main" "$command" "$@"
    ;;
  createsuperuser)
    # It creates the database on a new volume, which key create does not.
    node "$main" migrate >/dev/null
    exec node "$main" key create --role admin --name createsuperuser "$@"
    ;;
  -h | --help | help)
    usage
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
