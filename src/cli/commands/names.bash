
# Names of volumes, images, groups and pools, where the command line wants one.
_gluster_bd_names() {
    local line=${COMP_LINE:0:COMP_POINT} words word names
    _gluster__bd "$@"
    read -ra words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=('')
    word=${words[-1]}
    [[ $word != -* ]] || return 0
    mapfile -t names < <("${words[0]}" complete-names -- "${words[@]:1}" 2>/dev/null)
    ((${#names[@]})) || return 0
    COMPREPLY=("${names[@]}")
    # A volume alone is not all of an image's name.
    [[ ${#names[@]} != 1 || ${names[0]} != *: ]] || compopt -o nospace 2>/dev/null
    # Bash takes words apart at colons, and completes the last part.
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
    fi
}
complete -F _gluster_bd_names -o nosort -o bashdefault -o default gluster-bd
