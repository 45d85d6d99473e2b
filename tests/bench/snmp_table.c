/* The reference of test_snmp_bench.py: net-snmp's own agent library with a table in memory (tdata), of vmTable's columns.
 *
 *     snmp_table ROWS UDP-ADDRESS
 *
 * Users, communities and views come from snmp_table.conf in $SNMPCONFPATH. Every second all counters change. */

#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>
#include <stdio.h>

static unsigned int COLUMNS[] = {2, 3, 5, 6, 7, 8, 9, 13, 16, 17};
static const oid TABLE[] = {1, 3, 6, 1, 2, 1, 236, 1, 4};

struct row {
    char name[32];
    unsigned char uuid[16];
    long memory;
    u_long up_time;
    struct counter64 cpu_time;
};

static netsnmp_tdata *table;

static void fill(netsnmp_variable_list *var, struct row *row, int column)
{
    static const long one = 1, four = 4, two = 2;

    switch (column) {
    case 2: snmp_set_var_typed_value(var, ASN_OCTET_STR, row->name, strlen(row->name)); break;
    case 3: snmp_set_var_typed_value(var, ASN_OCTET_STR, row->uuid, sizeof(row->uuid)); break;
    case 5: snmp_set_var_typed_value(var, ASN_INTEGER, &one, sizeof(one)); break;
    case 6: snmp_set_var_typed_value(var, ASN_INTEGER, &four, sizeof(four)); break;
    case 13: snmp_set_var_typed_value(var, ASN_INTEGER, &row->memory, sizeof(row->memory)); break;
    case 16: snmp_set_var_typed_value(var, ASN_TIMETICKS, &row->up_time, sizeof(row->up_time)); break;
    case 17: snmp_set_var_typed_value(var, ASN_COUNTER64, &row->cpu_time, sizeof(row->cpu_time)); break;
    default: snmp_set_var_typed_value(var, ASN_INTEGER, &two, sizeof(two));
    }
}

static int handle(netsnmp_mib_handler *handler, netsnmp_handler_registration *registration,
                  netsnmp_agent_request_info *info, netsnmp_request_info *requests)
{
    netsnmp_request_info *request;

    (void) handler; (void) registration;
    for (request = requests; info->mode == MODE_GET && request; request = request->next) {
        struct row *row = (struct row *) netsnmp_tdata_extract_entry(request);
        netsnmp_table_request_info *wanted = netsnmp_extract_table_info(request);
        int known = 0;
        for (size_t n = 0; n < sizeof(COLUMNS) / sizeof(*COLUMNS); n++)
            known |= wanted->colnum == COLUMNS[n];
        if (!row || !known)
            netsnmp_set_request_error(info, request, SNMP_NOSUCHINSTANCE);
        else
            fill(request->requestvb, row, wanted->colnum);
    }
    return SNMP_ERR_NOERROR;
}

static void change(unsigned int alarm, void *unused)
{
    netsnmp_tdata_row *each;

    (void) alarm; (void) unused;
    for (each = netsnmp_tdata_row_first(table); each; each = netsnmp_tdata_row_next(table, each)) {
        struct row *row = (struct row *) each->data;
        row->up_time += 100;
        row->cpu_time.low += 12345;
        row->memory ^= 1;
    }
}

static void make(long number)
{
    netsnmp_tdata_row *added = netsnmp_tdata_create_row();
    struct row *row = SNMP_MALLOC_TYPEDEF(struct row);

    snprintf(row->name, sizeof(row->name), "guest-%05ld", number);
    memcpy(row->uuid, &number, sizeof(number));
    row->memory = 524288;
    row->up_time = 4711;
    row->cpu_time.low = 123456789;
    added->data = row;
    netsnmp_tdata_row_add_index(added, ASN_INTEGER, &number, sizeof(number));
    netsnmp_tdata_add_row(table, added);
}

int main(int argc, char **argv)
{
    netsnmp_table_registration_info *shape = SNMP_MALLOC_TYPEDEF(netsnmp_table_registration_info);

    if (argc != 3)
        return 2;
    snmp_disable_log(); /* or it writes a line for each packet */
    netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_PORTS, argv[2]);
    init_agent("snmp_table");
    table = netsnmp_tdata_create_table("vmTable", 0);
    for (long number = 1; number <= atol(argv[1]); number++)
        make(number);
    netsnmp_table_helper_add_indexes(shape, ASN_INTEGER, 0);
    shape->min_column = COLUMNS[0];
    shape->max_column = 17;
    shape->valid_columns = SNMP_MALLOC_TYPEDEF(netsnmp_column_info);
    shape->valid_columns->details.list = COLUMNS;
    shape->valid_columns->list_count = sizeof(COLUMNS) / sizeof(*COLUMNS);
    netsnmp_tdata_register(netsnmp_create_handler_registration("vmTable", handle, TABLE, OID_LENGTH(TABLE), HANDLER_CAN_RONLY),
                           table, shape);
    init_snmp("snmp_table");
    if (init_master_agent() != 0)
        return 1;
    snmp_alarm_register(1, SA_REPEAT, change, NULL);
    puts("ready");
    fflush(stdout);
    for (;;)
        agent_check_and_process(1);
}
