/* SPDX-License-Identifier: Apache-2.0 */
/* What exec.c runs: a whole static program of the C library that does nothing. */

int main(void)
{
    return 7;
}
