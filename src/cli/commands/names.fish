
# Names of volumes, images, groups and pools, where the command line wants one.
function __gluster_bd_names
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete-names -- $words[2..] 2>/dev/null
end
complete -c gluster-bd -a '(__gluster_bd_names)'
