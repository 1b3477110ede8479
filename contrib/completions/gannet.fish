# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_gannet_global_optspecs
    string join \n json v/verbose q/quiet h/help V/version
end

function __fish_gannet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_gannet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_gannet_using_subcommand
    set -l cmd (__fish_gannet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c gannet -n "__fish_gannet_needs_command" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_needs_command" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_needs_command" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_needs_command" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_needs_command" -s V -l version -d 'Print version'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "share" -d 'Publish a folder and everything that changes in it'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "clone" -d 'Copy a drive into a folder and keep it up to date'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "seed" -d 'Keep drives or feeds whole and serve them, without a folder of files'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "daemon" -d 'Keep everything that a file names, in one process'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "add" -d 'Have the running daemon keep something more'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "remove" -d 'Have the running daemon keep something no longer; files stay as they are'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "pause" -d 'Have the running daemon neither fetch nor serve something for now'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "resume" -d 'Have the running daemon go on with something'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "config" -d 'The file of gannet daemon'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "status" -d 'What is in a folder, and what the process running on it is doing'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "peers" -d 'The peers of the process running on a folder, and the addresses it will try'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "candidates" -d 'Addresses that may be peers, and when each of them is tried again'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "ban" -d 'Have the running daemon talk to somebody no more'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "unban" -d 'Lift a ban'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "bans" -d 'Whom the running daemon does not talk to, for how long, and who decided that'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "ping" -d 'Ask a host whether a gannet runs there, and how long the answer takes'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "log" -d 'The whole history of a drive, oldest first'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "ls" -d 'List the files of a drive'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "cat" -d 'Print files of a drive, each block verified'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "verify" -d 'Check every block that is here against the tree and the signature'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "key" -d 'Show the keys of a folder or feed; export or import the secret one'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "id" -d 'Print who this host is: its id in short and in full'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "hosts" -d 'The hosts that the process running on a folder knows on the local network'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "find" -d 'Find a host by its id'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "shutdown" -d 'Stop the gannet on another host of the local network'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "core" -d 'Bare feeds: append-only logs without a folder of files'
complete -c gannet -n "__fish_gannet_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand share" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand share" -l dat -d 'Make a Dat 1 drive, not a hyperdrive (a folder that is shared already stays what it is)'
complete -c gannet -n "__fish_gannet_using_subcommand share" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand share" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand share" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand share" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand share" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l version -d 'Exactly this version, nothing newer' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l only -d 'Only this file or directory (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l once -d 'End when everything is here'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand clone" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l dir -d 'Where it is kept [default: ~/.local/share/gannet/seeds]' -r -F
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l max-storage -d 'Keep these below this size, as in 20G' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand seed" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand daemon" -l config -d 'The file' -r -F
complete -c gannet -n "__fish_gannet_using_subcommand daemon" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand daemon" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand daemon" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand daemon" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -f -a "share" -d 'Publish a folder'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -f -a "clone" -d 'Copy a drive into a folder and keep it up to date'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -f -a "seed" -d 'Keep a drive or feed whole, without a folder of files'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -f -a "core" -d 'Serve the feed in a directory, or fetch one into it'
complete -c gannet -n "__fish_gannet_using_subcommand add; and not __fish_seen_subcommand_from share clone seed core help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from share" -l dat -d 'Make a Dat 1 drive, not a hyperdrive'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from share" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from share" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from share" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from share" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -l only -d 'Only this file or directory (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from clone" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -l dir -d 'Where it is kept [default: ~/.local/share/gannet/seeds]' -r -F
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from seed" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -l link -d 'What to fetch' -r
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from core" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from help" -f -a "share" -d 'Publish a folder'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from help" -f -a "clone" -d 'Copy a drive into a folder and keep it up to date'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from help" -f -a "seed" -d 'Keep a drive or feed whole, without a folder of files'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from help" -f -a "core" -d 'Serve the feed in a directory, or fetch one into it'
complete -c gannet -n "__fish_gannet_using_subcommand add; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand remove" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand remove" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand remove" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand remove" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand pause" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand pause" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand pause" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand pause" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand resume" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand resume" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand resume" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand resume" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "check" -d 'Whether the file is right; what is wrong is told with its line'
complete -c gannet -n "__fish_gannet_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Whether the file is right; what is wrong is told with its line'
complete -c gannet -n "__fish_gannet_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand status" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand status" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand status" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand peers" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand peers" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand peers" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand peers" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand candidates" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand candidates" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand candidates" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand candidates" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand ban" -l for -d 'For how long, as in 90s, 30m, 2h or 7d [default: until it is lifted]' -r
complete -c gannet -n "__fish_gannet_using_subcommand ban" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand ban" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand ban" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand ban" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand unban" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand unban" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand unban" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand unban" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand bans" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand bans" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand bans" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand bans" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand ping" -l count -d 'How often' -r
complete -c gannet -n "__fish_gannet_using_subcommand ping" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand ping" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand ping" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand log" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand log" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand log" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand log" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand ls" -l version -d 'As of this version' -r
complete -c gannet -n "__fish_gannet_using_subcommand ls" -s l -d 'With mode, size and time'
complete -c gannet -n "__fish_gannet_using_subcommand ls" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand ls" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand ls" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand ls" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand cat" -l version -d 'As of this version (a folder keeps the content of its newest one only)' -r
complete -c gannet -n "__fish_gannet_using_subcommand cat" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand cat" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand cat" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand cat" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l repair -d 'Fetch again what is damaged'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -f -a "show" -d 'Print link, keys, and whether the secret key is here'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -f -a "export" -d 'Print the secret key (128 hex digits): keep it to yourself'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -f -a "import" -d 'Read the secret key from standard input and keep it'
complete -c gannet -n "__fish_gannet_using_subcommand key; and not __fish_seen_subcommand_from show export import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from show" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from export" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from export" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from import" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from import" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print link, keys, and whether the secret key is here'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "export" -d 'Print the secret key (128 hex digits): keep it to yourself'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "import" -d 'Read the secret key from standard input and keep it'
complete -c gannet -n "__fish_gannet_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand id" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand id" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand id" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand id" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand hosts" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand hosts" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand hosts" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand hosts" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand find" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand find" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand find" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand find" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand shutdown" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand shutdown" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand shutdown" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand shutdown" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "create" -d 'Make a new feed in a directory and print its link'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "append" -d 'Append standard input to a feed, a block a line'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "get" -d 'Print blocks of a feed, each followed by a line end'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "tail" -d 'Print the last blocks of a feed, and with -f those that follow'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "info" -d 'Kind, keys, length and blocks of a feed that is here'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "serve" -d 'Let others fetch a feed, until stopped'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "truncate" -d 'Take back the last blocks of a core'
complete -c gannet -n "__fish_gannet_using_subcommand core; and not __fish_seen_subcommand_from create append get tail info serve truncate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -l compat -d 'Make a core whose key is its signer\'s, as Hypercore 10 did'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -l dat -d 'Make a Dat 1 feed; the files are those of JavaScript\'s hypercore 6 and 7'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from append" -l block -d 'Cut the input into blocks of this size (K and M work) instead of lines' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from append" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from append" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from append" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from append" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l encryption-key -d 'The blocks are encrypted: the secret of all cores they belong to' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l key-of-blocks -d 'The blocks are encrypted: the secret of this core\'s blocks alone' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l dir -d 'Where a link\'s blocks are kept [default: ~/.local/share/gannet/feeds]' -r -F
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l raw -d 'The bytes of the blocks and nothing between them'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -s n -l blocks -d 'How many' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l encryption-key -d 'The blocks are encrypted: the secret of all cores they belong to' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l key-of-blocks -d 'The blocks are encrypted: the secret of this core\'s blocks alone' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l dir -d 'Where a link\'s blocks are kept [default: ~/.local/share/gannet/feeds]' -r -F
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -s f -l follow -d 'Stay, and print new blocks as they come from peers'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l raw -d 'The bytes of the blocks and nothing between them'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l dat -d 'A key alone is one of Dat, not of Hypercore'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from tail" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from info" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from info" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from info" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from info" -s h -l help -d 'Print help'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l peer -d 'A peer to connect to (may be given several times)' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l listen -d 'Listen here only [default: port 3282, or any if it is taken]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l upload-rate -d 'Send peers no more than this a second, all together, as in 500K' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l download-rate -d 'Fetch no more than this a second from all peers together' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l peer-upload-rate -d 'Send each peer no more than this a second' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l peer-download-rate -d 'Fetch no more than this a second from each peer' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l max-connections -d 'Refuse more connections than this [default: 512]' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l exec -d 'Shell command for events, told in GANNET_EVENT, GANNET_PATH …' -r
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l no-discovery -d 'Do not look for peers on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from truncate" -l json -d 'One JSON object a line instead of text'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from truncate" -s v -l verbose -d 'Tell more: peers too, with -vv every block, with -vvv the log'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from truncate" -s q -l quiet -d 'Tell only what went wrong'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from truncate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a new feed in a directory and print its link'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "append" -d 'Append standard input to a feed, a block a line'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "get" -d 'Print blocks of a feed, each followed by a line end'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "tail" -d 'Print the last blocks of a feed, and with -f those that follow'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "info" -d 'Kind, keys, length and blocks of a feed that is here'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "serve" -d 'Let others fetch a feed, until stopped'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "truncate" -d 'Take back the last blocks of a core'
complete -c gannet -n "__fish_gannet_using_subcommand core; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "share" -d 'Publish a folder and everything that changes in it'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "clone" -d 'Copy a drive into a folder and keep it up to date'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "seed" -d 'Keep drives or feeds whole and serve them, without a folder of files'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "daemon" -d 'Keep everything that a file names, in one process'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "add" -d 'Have the running daemon keep something more'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "remove" -d 'Have the running daemon keep something no longer; files stay as they are'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "pause" -d 'Have the running daemon neither fetch nor serve something for now'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "resume" -d 'Have the running daemon go on with something'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "config" -d 'The file of gannet daemon'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "status" -d 'What is in a folder, and what the process running on it is doing'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "peers" -d 'The peers of the process running on a folder, and the addresses it will try'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "candidates" -d 'Addresses that may be peers, and when each of them is tried again'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "ban" -d 'Have the running daemon talk to somebody no more'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "unban" -d 'Lift a ban'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "bans" -d 'Whom the running daemon does not talk to, for how long, and who decided that'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "ping" -d 'Ask a host whether a gannet runs there, and how long the answer takes'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "log" -d 'The whole history of a drive, oldest first'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "ls" -d 'List the files of a drive'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "cat" -d 'Print files of a drive, each block verified'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "verify" -d 'Check every block that is here against the tree and the signature'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "key" -d 'Show the keys of a folder or feed; export or import the secret one'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "id" -d 'Print who this host is: its id in short and in full'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "hosts" -d 'The hosts that the process running on a folder knows on the local network'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "find" -d 'Find a host by its id'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "shutdown" -d 'Stop the gannet on another host of the local network'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "core" -d 'Bare feeds: append-only logs without a folder of files'
complete -c gannet -n "__fish_gannet_using_subcommand help; and not __fish_seen_subcommand_from share clone seed daemon add remove pause resume config status peers candidates ban unban bans ping log ls cat verify key id hosts find shutdown core help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from add" -f -a "share" -d 'Publish a folder'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from add" -f -a "clone" -d 'Copy a drive into a folder and keep it up to date'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from add" -f -a "seed" -d 'Keep a drive or feed whole, without a folder of files'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from add" -f -a "core" -d 'Serve the feed in a directory, or fetch one into it'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Whether the file is right; what is wrong is told with its line'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "show" -d 'Print link, keys, and whether the secret key is here'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "export" -d 'Print the secret key (128 hex digits): keep it to yourself'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "import" -d 'Read the secret key from standard input and keep it'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "create" -d 'Make a new feed in a directory and print its link'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "append" -d 'Append standard input to a feed, a block a line'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "get" -d 'Print blocks of a feed, each followed by a line end'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "tail" -d 'Print the last blocks of a feed, and with -f those that follow'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "info" -d 'Kind, keys, length and blocks of a feed that is here'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "serve" -d 'Let others fetch a feed, until stopped'
complete -c gannet -n "__fish_gannet_using_subcommand help; and __fish_seen_subcommand_from core" -f -a "truncate" -d 'Take back the last blocks of a core'
