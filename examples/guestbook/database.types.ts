export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  public: {
    Tables: {
      entries: {
        Row: {
          created_at: string
          id: number
          member_id: string
          message: string
          mood: string | null
          rewarded: boolean
        }
        Insert: {
          created_at?: string
          id?: never
          member_id: string
          message: string
          mood?: string | null
          rewarded?: boolean
        }
        Update: {
          created_at?: string
          id?: never
          member_id?: string
          message?: string
          mood?: string | null
          rewarded?: boolean
        }
        Relationships: [
          {
            foreignKeyName: "entries_member_id_fkey"
            columns: ["member_id"]
            isOneToOne: false
            referencedRelation: "members"
            referencedColumns: ["id"]
          },
        ]
      }
      members: {
        Row: {
          id: string
          name: string
          points: number
        }
        Insert: {
          id?: string
          name: string
          points?: number
        }
        Update: {
          id?: string
          name?: string
          points?: number
        }
        Relationships: []
      }
      minutes: {
        Row: {
          entries: number
          minute: string
          points: number
        }
        Insert: {
          entries: number
          minute: string
          points: number
        }
        Update: {
          entries?: number
          minute?: string
          points?: number
        }
        Relationships: []
      }
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      [_ in never]: never
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type Public = Database["public"]

export type Tables<T extends keyof Public["Tables"]> = Public["Tables"][T]["Row"]

export type TablesInsert<T extends keyof Public["Tables"]> = Public["Tables"][T]["Insert"]

export type TablesUpdate<T extends keyof Public["Tables"]> = Public["Tables"][T]["Update"]

export type Enums<T extends keyof Public["Enums"]> = Public["Enums"][T]
