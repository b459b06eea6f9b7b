/* handlers - every endpoint's function, by the file it is in; routes.c alone calls them. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/request.h"

typedef void request_handler(struct request *r);

/* system.c */
request_handler system_ping, system_version, system_info, system_df, system_plugins, system_no_plugin, system_empty_prune;
/* events.c */
request_handler events_get;
/* image.c, image_pull.c */
request_handler image_list, image_inspect, image_history, image_tag, image_delete, image_prune, image_pull;
/* image_push.c */
request_handler image_push;
/* registry.c */
request_handler registry_login, registry_distribution, registry_search;
/* network.c */
request_handler network_list, network_get;
/* volume.c */
request_handler volume_list, volume_get, volume_create, volume_delete, volume_prune;
/* container_create.c, container_list.c, container_inspect.c */
request_handler container_create, container_list, container_inspect;
/* container.c */
request_handler container_start, container_stop, container_kill, container_restart, container_wait_for,
	container_rename_to, container_resize, container_delete, container_prune;
/* container_logs.c, container_attach.c */
request_handler container_logs, container_attach, container_attach_websocket;
/* container_archive.c, container_put.c, container_changes.c */
request_handler container_archive, container_export, container_put_archive, container_changes;
/* exec.c */
request_handler exec_create, exec_start, exec_inspect, exec_resize;
/* admin.c */
request_handler admin_health, admin_agents, admin_cut;

#endif
