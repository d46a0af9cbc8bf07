/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes net ls`: the networks between machines, and who is in them now. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/named.h"
#include "network/segment.h"

enum { LS_JSON = 1 };

#define ADDRESS_MAX 16

static const char *address_format(uint32_t address, char text[ADDRESS_MAX])
{
    snprintf(text, ADDRESS_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff,
             address >> 8 & 0xff, address & 0xff);
    return text;
}

static const char *member_address(const struct segment_view *view,
                                  const struct segment_member *member, char text[ADDRESS_MAX])
{
    uint8_t host = lease_find(&view->leases, member->name, member->index);

    return address_format(view->leases.subnet | host, text);
}

static json_t *members_to_json(const struct segment_view *view)
{
    json_t *machines = json_array();
    char address[ADDRESS_MAX];

    for (unsigned i = 0; i < view->members.count; i++) {
        const struct segment_member *member = &view->members.members[i];

        if (member->kind == SEGMENT_PORT)
            json_array_append_new(machines, json_pack("{s:s, s:i, s:s}", "name", member->name,
                                                      "interface", (int)member->index, "address",
                                                      member_address(view, member, address)));
    }
    return machines;
}

static unsigned listener_count(const struct segment_view *view)
{
    unsigned count = 0;

    for (unsigned i = 0; i < view->members.count; i++)
        count += view->members.members[i].kind == SEGMENT_LISTENER;
    return count;
}

static json_t *network_to_json(const char *name, const struct segment_view *view)
{
    char subnet[ADDRESS_MAX], text[ADDRESS_MAX + 3];

    snprintf(text, sizeof(text), "%s/24", address_format(view->leases.subnet, subnet));
    return json_pack("{s:s, s:s, s:o, s:i}", "name", name, "subnet", text, "machines",
                     members_to_json(view), "captures", (int)listener_count(view));
}

static void network_print(const char *name, const struct segment_view *view)
{
    char address[ADDRESS_MAX];

    for (unsigned i = 0; i < view->members.count; i++) {
        const struct segment_member *member = &view->members.members[i];

        if (member->kind == SEGMENT_PORT)
            printf("%-20s %-20s %9u  %s\n", name, member->name, member->index,
                   member_address(view, member, address));
        else
            printf("%-20s %-20s %9s  -\n", name, "(capture)", "-");
    }
}

static int is_network(const struct dirent *entry)
{
    return segment_name_is_valid(entry->d_name);
}

static int by_member(const void *a, const void *b)
{
    const struct segment_member *left = a, *right = b;
    int r = (int)left->kind - (int)right->kind;

    r = r ? r : strcmp(left->name, right->name);
    return r ? r : (left->index > right->index) - (left->index < right->index);
}

static int ls_networks(const char *directory, bool json, struct error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, is_network, alphasort);
    json_t *array = json ? json_array() : NULL;
    struct segment_view view;
    unsigned found = 0;
    int r = count < 0 && errno != ENOENT
                ? error_set(error, errno, "cannot read \"%s\": %s", directory, error_words(errno))
                : 0;

    for (int i = 0; i < count; i++) {
        char *path = NULL;

        /* One that vanishes just now is none. */
        if (!r && asprintf(&path, "%s/%s", directory, entries[i]->d_name) < 0)
            r = error_set(error, ENOMEM, "out of memory");
        if (!r && !segment_look(path, &view)) {
            qsort(view.members.members, view.members.count, sizeof(view.members.members[0]),
                  by_member);
            if (json)
                json_array_append_new(array, network_to_json(entries[i]->d_name, &view));
            else if (!found++)
                printf("%-20s %-20s %9s  %s\n", "NETWORK", "MACHINE", "INTERFACE", "ADDRESS");
            if (!json)
                network_print(entries[i]->d_name, &view);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    if (r) {
        json_decref(array);
        return r;
    }
    if (!json && !found)
        printf("no networks; machines make one with: hospes run --net NAME ...\n");
    return json ? named_print_json(array, error) : 0;
}

static int ls_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct registry registry = {0};
    char *directory = NULL;
    bool json = false;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes net ls --help",
                               walk.value);
        json = true;
    }
    if (kind < 0)
        return kind;
    r = registry_open(&registry, error);
    if (!r) {
        directory = registry_networks_path(&registry);
        r = directory ? ls_networks(directory, json, error)
                      : error_set(error, ENOMEM, "out of memory");
    }
    free(directory);
    registry_release(&registry);
    return r;
}

static const struct option ls_options[] = {
    {LS_JSON, "--json", NULL, NULL, false, "print JSON: an array with an object a network"},
    {0},
};

static const struct example ls_examples[] = {
    {"hospes net ls", "prints a line an interface: network, machine, interface, address"},
    {0},
};

const struct command command_net_ls = {
    .name = "net ls",
    .summary = "list the networks between machines",
    .usage = "net ls [--json]",
    .about = "A network exists while a machine is in it ('--net NAME' of 'hospes run' and 'hospes\n"
             "create'). The address is what DHCP gives the interface; its guest may have others.",
    .options = ls_options,
    .examples = ls_examples,
    .run = ls_run,
};
