# Names of volumes, images, groups and pools, where the command line wants one; else files.
_gluster_bd_names() {
    local -a names
    names=("${(@f)$("$_gluster_bd_typed[1]" complete-names -- \
        "${(@)_gluster_bd_typed[2,-1]}" "$PREFIX" 2>/dev/null)}")
    names=("${(@)names:#}")
    (( $#names )) || { _default; return }
    # A volume alone is not all of an image's name.
    local -a open=("${(@M)names:#*:}") whole=("${(@)names:#*:}")
    (( ! $#open )) || compadd -S '' -- "$open[@]"
    (( ! $#whole )) || compadd -- "$whole[@]"
}

