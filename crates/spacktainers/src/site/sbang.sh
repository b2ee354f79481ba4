#!/bin/sh
# sbang SCRIPT [ARGUMENT...]: runs SCRIPT with the interpreter that its second line names.
#
# The first line of SCRIPT brought us here, because the interpreter's path is longer than the kernel takes. The second
# line is the one that was meant, in a form that is a comment in the script's own language:
#   #!INTERPRETER          shells, perl, python, ...
#   --!INTERPRETER         lua
#   //!INTERPRETER         node
#   <?php #!INTERPRETER ?> php
script=${1-}
if [ -z "$script" ] || [ ! -r "$script" ]; then
    echo "sbang: cannot read the script \`$script'" >&2
    exit 127
fi
{
    IFS= read -r first || :
    IFS= read -r line || :
} <"$script"
case $line in
    '#!'* | '--!'* | '//!'*) line=${line#*!} ;;
    '<?php #!'*) line=${line#*!} line=${line%'?>'*} ;;
    *)
        case $first in
            # Called by hand with a script that needs no help.
            '#!'*sbang*) line= ;;
            '#!'*) line=${first#*!} ;;
            *) line= ;;
        esac
        ;;
esac
# Words of the line become words of the command, but no file names.
set -f
# shellcheck disable=SC2086
set -- $line "$@"
if [ "$1" = "$script" ]; then
    echo "sbang: the second line of \`$script' names no interpreter" >&2
    exit 126
fi
interpreter=$1
shift
case ${interpreter##*/} in
    # These two read the first line themselves, find another program there, and give up; -x makes them look for their own.
    perl* | ruby*) exec "$interpreter" -x "$@" ;;
    *) exec "$interpreter" "$@" ;;
esac
