/* What gluster-bd needs of liblvm2cmd. */
#include <lvm2cmd.h>
