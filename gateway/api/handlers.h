/* handlers - every endpoint's function, by the file it is in; routes.c alone calls them. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/request.h"

typedef void request_handler(struct request *r);

/* system.c */
request_handler system_ping, system_version, system_info, system_plugins, system_no_plugin, system_empty_prune;
/* disk_usage.c */
request_handler system_df;
/* events.c */
request_handler events_get;
/* image.c, image_names.c, image_pull.c */
request_handler image_list, image_inspect, image_history, image_attestations, image_tag, image_delete, image_prune, image_pull;
/* image_build.c */
request_handler image_build, image_commit;
/* image_push.c, image_load.c, image_save.c, image_import.c */
request_handler image_push, image_load, image_save, image_save_one, image_import;
/* image_registry.c */
request_handler registry_login, registry_distribution, registry_search;
/* network.c, network_create.c */
request_handler network_list, network_get, network_create, network_delete, network_prune, network_connect_to,
	network_disconnect_from;
/* volume.c */
request_handler volume_list, volume_get, volume_create, volume_delete, volume_prune;
/* container_create.c, container_list.c, container_inspect.c */
request_handler container_create, container_list, container_inspect;
/* container.c */
request_handler container_start, container_stop, container_kill, container_restart, container_wait_for,
	container_rename_to, container_resize, container_delete, container_prune;
request_handler container_pause, container_unpause;
/* container_update.c, container_top.c, container_stats.c */
request_handler container_update, container_top, container_stats;
/* container_logs.c, container_attach.c */
request_handler container_logs, container_attach, container_attach_websocket;
/* container_archive.c, container_put.c, container_changes.c */
request_handler container_archive, container_export, container_put_archive, container_changes;
/* exec.c */
request_handler exec_create, exec_start, exec_inspect, exec_resize;
/* admin.c */
request_handler admin_health, admin_agents, admin_streams, admin_trace, admin_ping, admin_cut, admin_restart;
/* metrics.c */
request_handler metrics_show;

/* orphans.c */
request_handler orphan_list, orphan_remove, orphan_adopt;

#endif
