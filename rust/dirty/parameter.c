// SPDX-License-Identifier: GPL-2.0
/*
 * Parameter dma_logging. Parameters that module! makes are numbers and do not
 * show in sysfs.
 */
#include <linux/moduleparam.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "helpers.h"

/* In the order of rust/logic/dma_log.rs. */
static const char *const policies[] = { "auto", "iommu", "conservative", "off" };
static unsigned int policy;

static int set_policy(const char *value, const struct kernel_param *param)
{
	int index = sysfs_match_string(policies, value);

	if (index < 0)
		return index;
	policy = index;
	return 0;
}

static int get_policy(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", policies[policy]);
}

static const struct kernel_param_ops policy_ops = {
	.set = set_policy,
	.get = get_policy,
};

module_param_cb(dma_logging, &policy_ops, NULL, 0444);
__MODULE_PARM_TYPE(dma_logging, "charp");
MODULE_PARM_DESC(dma_logging,
	"Device DMA logging: auto (every page, but none for who can ask iommufd), iommu (its dirty bits), conservative (every page), off");

unsigned int vvp_dma_logging(void)
{
	return policy;
}
