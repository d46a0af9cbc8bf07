/* SPDX-License-Identifier: Apache-2.0 */
/* Every computational instruction of RV64I with operands from registers and immediates. */
/* oracle: qemu 7.2 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "i.vec"

ISA_BEGIN
VECTORS(add)
VECTORS(sub)
VECTORS(sll)
VECTORS(slt)
VECTORS(sltu)
VECTORS(xor)
VECTORS(srl)
VECTORS(sra)
VECTORS(or)
VECTORS(and)
VECTORS(addw)
VECTORS(subw)
VECTORS(sllw)
VECTORS(srlw)
VECTORS(sraw)
VECTORS(addi)
VECTORS(slti)
VECTORS(sltiu)
VECTORS(xori)
VECTORS(ori)
VECTORS(andi)
VECTORS(addiw)
VECTORS(slli)
VECTORS(srli)
VECTORS(srai)
VECTORS(slliw)
VECTORS(srliw)
VECTORS(sraiw)
ISA_END
