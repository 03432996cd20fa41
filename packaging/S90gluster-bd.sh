#!/bin/sh
# glusterd runs this on every host after `gluster volume set` and `gluster volume reset`.
#
# It writes volfiles (and so runs the volfile filter) before it stores the new value of user.bd,
# so the volfiles are one step behind. Setting anything once more brings them into step.

volume=
workdir=/var/lib/glusterd
wanted=
for argument in "$@"; do
	case $argument in
	--volname=*) volume=${argument#--volname=} ;;
	--gd-workdir=*) workdir=${argument#--gd-workdir=} ;;
	user.bd=*) wanted=${argument#user.bd=} ;;
	--volume-op=reset) wanted=${wanted:-off} ;;
	esac
done
[ -n "$volume" ] && [ -n "$wanted" ] || exit 0

folder=$workdir/vols/$volume
# One of these is there for each volume, whatever its transport.
client=$folder/$volume.tcp-fuse.vol
[ -e "$client" ] || client=$folder/$volume.rdma-fuse.vol

in_step() {
	case $(sed -n 's/^user\.bd=//p' "$folder/info") in
	[Oo][Nn] | [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee] | [Ee][Nn][Aa][Bb][Ll][Ee] | 1)
		grep -q 'type features/bd-client' "$client"
		;;
	*) ! grep -q 'type features/bd-client' "$client" ;;
	esac
}

# All hosts run this at once and one set is enough for all, but glusterd refuses a second set
# while the first is under way.
tries=0
until in_step; do
	tries=$((tries + 1))
	[ "$tries" -le 30 ] || exit 1
	gluster --mode=script volume set "$volume" user.bd.gen "$(date +%s)" >/dev/null 2>&1 || sleep 1
done
