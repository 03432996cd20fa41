#include <glusterfs/api/glfs.h>
#include <glusterfs/api/glfs-handles.h>
